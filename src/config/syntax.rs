//! The TOML under `providers.toml`, read to its end even where it is broken.
//!
//! The parser goes on after most mistakes by itself. After three kinds it does not, or takes the rest of the
//! file for something else: a key without `=`, a header without its closing bracket, and an array without one.
//! There, the missing text is put in and the file parsed again, so that one slip does not hide the next.

use std::borrow::Cow;

use toml::de::{DeTable, DeValue, Error};

use super::mistake::Place;

/// How many slips are mended before the rest is left as the parser sees it.
const MAX_MENDINGS: usize = 50;

/// A file's text with what it lacked put in, and the way back to the places in the file itself.
pub(super) struct Syntax<'t> {
    original: &'t str,
    /// Where each line of it starts.
    line_starts: Vec<usize>,
    /// What is parsed; every offset below, and in the table, is one into this.
    mended: Cow<'t, str>,
    /// Where text was put in, and how many bytes of it.
    insertions: Vec<(usize, usize)>,
    mistakes: Vec<(Place, String)>,
    readable_to_the_end: bool,
}

impl<'t> Syntax<'t> {
    /// Reads the text, mending what would hide the rest of it.
    pub(super) fn read(text: &'t str) -> Self {
        let mut syntax = Self {
            original: text,
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at.saturating_add(1)))
                .collect(),
            mended: Cow::Borrowed(text),
            insertions: Vec::new(),
            mistakes: Vec::new(),
            readable_to_the_end: true,
        };
        for round in 0.. {
            let (table, mut errors) = DeTable::parse_recoverable(&syntax.mended);
            errors.sort_by_key(start_of);
            let obstacle = errors.iter().find(|error| hides_the_rest(error));
            let mending = obstacle.filter(|_| round < MAX_MENDINGS).and_then(|error| {
                let mending = mending(&syntax.mended, table.get_ref(), error)?;
                Some((mending, syntax.place(mending.blame), message(error)))
            });
            let Some((mending, place, message)) = mending else {
                syntax.readable_to_the_end = obstacle.is_none();
                let rest: Vec<_> = errors.iter().map(|e| (syntax.place(start_of(e)), message(e))).collect();
                syntax.mistakes.extend(rest);
                break;
            };
            syntax.mistakes.push((place, message));
            syntax.insert(mending.at, mending.text);
        }
        // Sorting is stable, and a later complaint about the same line only follows from the first.
        syntax.mistakes.sort_by_key(|(place, _)| place.line);
        syntax.mistakes.dedup_by_key(|(place, _)| place.line);
        syntax
    }

    fn insert(&mut self, at: usize, text: &str) {
        for (start, _) in &mut self.insertions {
            if *start >= at {
                *start = start.saturating_add(text.len());
            }
        }
        self.insertions.push((at, text.len()));
        self.mended.to_mut().insert_str(at, text);
    }

    /// The text as a table, as far as it is one.
    pub(super) fn table(&self) -> DeTable<'_> {
        DeTable::parse_recoverable(&self.mended).0.into_inner()
    }

    /// What is wrong with the text as TOML; at most one mistake a line, in order.
    pub(super) fn mistakes(&self) -> &[(Place, String)] {
        &self.mistakes
    }

    /// Whether every key in the file reached the table.
    pub(super) const fn readable_to_the_end(&self) -> bool {
        self.readable_to_the_end
    }

    /// Whether the lines of the table whose header stands at `offset` hold a mistake, up to the next header.
    pub(super) fn is_broken_after(&self, offset: usize) -> bool {
        let rest = self.mended.get(offset..).unwrap_or_default();
        let header_line = rest.split_inclusive('\n').next().map_or(0, str::len);
        let length = rest.get(header_line..).unwrap_or_default().split_inclusive('\n');
        let length: usize = length.take_while(|line| !is_header(line)).map(str::len).sum();
        let (first, last) = (self.place(offset), self.place(offset.saturating_add(header_line).saturating_add(length)));
        self.mistakes.iter().any(|(place, _)| (first.line..=last.line).contains(&place.line))
    }

    /// The place in the file of an offset into the mended text.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = |&(start, length): &(usize, usize)| offset.saturating_sub(start).min(length);
        let inserted: usize = self.insertions.iter().map(before).sum();
        let offset = offset.saturating_sub(inserted).min(self.original.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let line_start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let before = self.original.get(line_start..offset).unwrap_or_default();
        Place { line, column: before.trim_start_matches('\u{feff}').chars().count().saturating_add(1) }
    }
}

/// Text that a file lacks.
#[derive(Clone, Copy)]
struct Mending {
    at: usize,
    text: &'static str,
    /// The offset that the mistake is shown at.
    blame: usize,
}

fn start_of(error: &Error) -> usize {
    error.span().map_or(usize::MAX, |span| span.start)
}

fn hides_the_rest(error: &Error) -> bool {
    let message = error.message();
    ["key with no value", "unclosed ", "unexpected `=` in array"].iter().any(|start| message.starts_with(start))
}

fn mending(text: &str, table: &DeTable<'_>, error: &Error) -> Option<Mending> {
    let at = error.span()?.start;
    if error.message().starts_with("key with no value") {
        return Some(Mending { at, text: "=", blame: at });
    }
    if error.message().starts_with("unclosed table") || error.message().starts_with("unclosed array table") {
        return Some(Mending { at, text: "]", blame: at });
    }
    let array = array_around(table, at)?;
    let mut line_start = array;
    for line in text.get(array..at)?.split_inclusive('\n') {
        if line_start > array && is_statement(text.get(line_start..)?) {
            return Some(Mending { at: line_start, text: "]\n", blame: array });
        }
        line_start = line_start.saturating_add(line.len());
    }
    (line_start > array && is_statement(text.get(line_start..)?)).then_some(Mending {
        at: line_start,
        text: "]\n",
        blame: array,
    })
}

/// Where the outermost array starts that reaches over `offset`.
fn array_around(table: &DeTable<'_>, offset: usize) -> Option<usize> {
    table.iter().find_map(|(_, value)| match value.get_ref() {
        DeValue::Table(inner) => array_around(inner, offset),
        DeValue::Array(items) => {
            // That of an array of tables ends with its first header.
            let span = value.span();
            let reaches_over = span.start < offset && offset <= span.end;
            let inside = || items.iter().find_map(|item| array_around(item.get_ref().as_table()?, offset));
            reaches_over.then_some(span.start).or_else(inside)
        }
        _ => None,
    })
}

fn is_header(line: &str) -> bool {
    let name = line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('['));
    name.is_some_and(|name| name.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a line starts a key or a header, which no item of an array does.
fn is_statement(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim());
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_header(line) || key.is_some_and(is_key)
}

/// The parser's words, in ours where its own mislead. They quote nothing from the file: it may be a secret.
fn message(error: &Error) -> String {
    let message = error.message();
    match message {
        _ if message.starts_with("string values must be quoted") => {
            "expected a value (text goes in quotes), found something else".to_owned()
        }
        "duplicate key" => "expected each key and table once, found it again".to_owned(),
        _ if message.starts_with("unexpected `=` in array") || message.starts_with("unclosed array, ") => {
            "expected `]` at the end of this array, found the next key or table".to_owned()
        }
        _ => format!("not valid TOML: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<(usize, usize)> {
        Syntax::read(text).mistakes().iter().map(|(place, _)| (place.line, place.column)).collect()
    }

    fn keys(text: &str) -> Vec<String> {
        fn walk(table: &DeTable<'_>, into: &mut Vec<String>) {
            for (key, value) in table.iter() {
                into.push(key.get_ref().to_string());
                match value.get_ref() {
                    DeValue::Table(inner) => walk(inner, into),
                    DeValue::Array(items) => {
                        items.iter().filter_map(|item| item.get_ref().as_table()).for_each(|item| walk(item, into));
                    }
                    _ => {}
                }
            }
        }
        let mut found = Vec::new();
        walk(&Syntax::read(text).table(), &mut found);
        found
    }

    #[test]
    fn one_slip_does_not_hide_the_next() {
        for (text, places, found) in [
            ("[a]\nb \"x\"\nc = 1\n[d]\ne = 2x\n", vec![(2, 3), (5, 5)], vec!["a", "b", "c", "d", "e"]),
            ("[[a]\nb = 1\n[[a]]\nc = 2x\n", vec![(1, 5), (4, 5)], vec!["a", "b", "c"]),
            ("[a\nb = 1\n[c]\nd = 1\n", vec![(1, 3)], vec!["a", "b", "c", "d"]),
            ("[a]\nb = [\"x\",\n  \"y\" # why\nc = 1\n[d]\ne = 2\n", vec![(2, 5)], vec!["a", "b", "c", "d", "e"]),
            ("[a]\nb = [\"x\"\n\n[[d]]\ne = 2\n", vec![(2, 5)], vec!["a", "b", "d", "e"]),
            ("[[a]]\nb = [{c = 1}\n[d]\ne = 2\n", vec![(2, 5)], vec!["a", "b", "c", "d", "e"]),
            ("[[a]]\nb = [1\n[[a]]\nb = [2\nc = 3\n", vec![(2, 5), (4, 5)], vec!["a", "b", "b", "c"]),
        ] {
            assert_eq!(mistakes(text), places, "{text}");
            assert_eq!(keys(text), found, "{text}");
            assert!(Syntax::read(text).readable_to_the_end(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_mended_is_said() {
        let syntax = Syntax::read("[a]\nb = [\"x\", c = 1\n[d]\n");
        assert!(!syntax.readable_to_the_end() && !syntax.mistakes().is_empty());
    }

    #[test]
    fn places_count_characters_in_the_file_itself() {
        assert_eq!(mistakes("[a]\n\"é\" = \"日本\" ?\n"), [(2, 12)]);
        assert_eq!(mistakes("\u{feff}a = ?\n"), [(1, 5)]);
        assert_eq!(mistakes("a 1\r\nb 2\r\nc = 3x\r\n"), [(1, 3), (2, 3), (3, 5)]);
    }

    #[test]
    fn a_table_is_broken_up_to_the_next_header() {
        let syntax = Syntax::read("[a]\nb = 1x\n\n[c]\nd = 1\n");
        assert!(syntax.is_broken_after(0));
        assert!(!syntax.is_broken_after(12));
    }
}
