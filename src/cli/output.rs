//! What verbs print. A reader that went away (`| head`) is no failure.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// Where a verb's data goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints `document` as JSON, or what `text` makes for people, which may be nothing.
    ///
    /// # Errors
    /// stdout can't be written.
    pub(super) fn print(self, document: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(document)? } else { text() };
        let text = text.trim_end_matches('\n');
        if text.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => {
                written.map_err(|error| io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
            }
        }
    }
}

/// Says something to the operator on stderr.
pub(super) fn talk(text: &str) {
    // Nobody is left to tell where this fails.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Rows under a header, in columns.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    unpadded(&table)
}

/// Names with their values, a line each.
pub(super) fn fields<const N: usize>(fields: [(&str, String); N]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in fields {
        table.add_row([name, &printable(&value)]);
    }
    unpadded(&table)
}

/// Without the blanks that stand around every line.
fn unpadded(table: &Table) -> String {
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Links and upstreams' words come from outside: nothing in them may steer the operator's terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The value, or a dash where there is none.
pub(super) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
