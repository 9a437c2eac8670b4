//! Walks the parsed file table by table. Every key that is asked for is known; what is left over is a mistake.

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::mistake::Place;
use super::secret::SecretRef;
use super::syntax::Syntax;

/// Where readers leave what they find wrong.
pub(super) struct Report<'r> {
    syntax: &'r Syntax<'r>,
    mistakes: RefCell<Vec<(Place, String)>>,
    secrets: RefCell<Vec<SecretRef>>,
}

impl<'r> Report<'r> {
    pub(super) fn new(syntax: &'r Syntax<'r>) -> Self {
        Self { syntax, mistakes: RefCell::new(syntax.mistakes().to_vec()), secrets: RefCell::default() }
    }

    /// A line that is not TOML has its mistake already; what else it seems to say is a guess.
    pub(super) fn mistake(&self, offset: usize, message: impl Into<String>) {
        let place = self.syntax.place(offset);
        if !self.syntax.mistakes().iter().any(|(broken, _)| broken.line == place.line) {
            self.mistakes.borrow_mut().push((place, message.into()));
        }
    }

    /// Something that is missing from the table whose header stands at `offset`. Not said where it may stand
    /// on a line that is not TOML.
    fn absence(&self, offset: usize, message: String) {
        if self.syntax.readable_to_the_end() && !self.syntax.is_broken_after(offset) {
            self.mistake(offset, message);
        }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        self.syntax.place(offset)
    }

    /// Whether every table was seen, so that one which was not seen is not there.
    pub(super) const fn saw_everything(&self) -> bool {
        self.syntax.readable_to_the_end()
    }

    /// A secret that the file names, also where something else is wrong with its table.
    pub(super) fn note_secret(&self, secret: SecretRef) {
        self.secrets.borrow_mut().push(secret);
    }

    /// What is wrong, and the secrets that are named.
    pub(super) fn into_findings(self) -> (Vec<(Place, String)>, Vec<SecretRef>) {
        (self.mistakes.into_inner(), self.secrets.into_inner())
    }
}

/// One value in the file.
#[derive(Clone, Copy)]
pub(super) struct Field<'r> {
    pub(super) report: &'r Report<'r>,
    pub(super) value: &'r DeValue<'r>,
    pub(super) offset: usize,
}

impl<'r> Field<'r> {
    fn new(report: &'r Report<'r>, value: &'r Spanned<DeValue<'r>>) -> Self {
        Self { report, value: value.get_ref(), offset: value.span().start }
    }

    /// Of a key. The parser puts a value of its own, which stands nowhere in the file, where it could read none:
    /// such a one stands where its key does.
    fn of(report: &'r Report<'r>, key: &'r Spanned<DeString<'r>>, value: &'r Spanned<DeValue<'r>>) -> Self {
        let stands_nowhere = value.span().is_empty();
        let field = Self::new(report, value);
        if stands_nowhere { Self { offset: key.span().start, ..field } } else { field }
    }

    /// Reports that this is not what it should be; gives nothing.
    pub(super) fn expected<T>(self, what: &str) -> Option<T> {
        self.expected_but(what, &found(self.value))
    }

    /// The same for a value that is not to be shown, or is better described.
    pub(super) fn expected_but<T>(self, what: &str, found: &str) -> Option<T> {
        self.report.mistake(self.offset, format!("expected {what}, found {found}"));
        None
    }

    /// The items of an array.
    pub(super) fn items(self, what: &str) -> Option<impl Iterator<Item = Field<'r>>> {
        match self.value {
            DeValue::Array(items) => Some(items.iter().map(move |item| Self::new(self.report, item))),
            _ => self.expected(what),
        }
    }

    /// The kind of value, without the value: for secrets.
    pub(super) fn kind(self) -> &'static str {
        match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// Reads an inline table.
    pub(super) fn table<T>(self, label: &'static str, read: impl FnOnce(&mut Section<'r>) -> T) -> Option<T> {
        let DeValue::Table(table) = self.value else { return self.expected(label) };
        let mut section = Section::new(self.report, label, self.offset, Some(table));
        let result = read(&mut section);
        section.refuse_unknown_keys();
        Some(result)
    }
}

/// A value as an operator would recognise it, cut where it is long.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text in quotes: at most 40 characters of its first line, since a string that was not closed holds the lines
/// after it, and their secrets.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let end = text.char_indices().enumerate().find(|(count, (_, c))| *count == SHOWN || c.is_control());
    match end {
        None if text.is_empty() => "empty text".to_owned(),
        None => format!("{text:?}"),
        Some((_, (end, _))) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// A table of the file, or its absence, which reads as an empty one.
pub(super) struct Section<'r> {
    pub(super) report: &'r Report<'r>,
    label: &'static str,
    offset: usize,
    table: Option<&'r DeTable<'r>>,
    asked: Vec<&'static str>,
    takes_any_key: bool,
}

impl<'r> Section<'r> {
    /// The whole file.
    pub(super) fn root(report: &'r Report<'r>, table: &'r DeTable<'r>) -> Self {
        Self::new(report, "the file", 0, Some(table))
    }

    fn new(report: &'r Report<'r>, label: &'static str, offset: usize, table: Option<&'r DeTable<'r>>) -> Self {
        Self { report, label, offset, table, asked: Vec::new(), takes_any_key: false }
    }

    fn field(&mut self, key: &'static str) -> Option<Field<'r>> {
        self.asked.push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<Field<'r>> {
        self.table?.get_key_value(key).map(|(key, value)| Field::of(self.report, key, value))
    }

    /// Whether the key is there, readable or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The value of an optional key. `read` reports what is wrong with it.
    pub(super) fn get<T>(&mut self, key: &'static str, read: impl FnOnce(Field<'r>) -> Option<T>) -> Option<T> {
        self.field(key).and_then(read)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(&mut self, key: &'static str, read: impl FnOnce(Field<'r>) -> Option<T>) -> Option<T> {
        let field = self.field(key);
        if field.is_none() {
            self.report.absence(self.offset, format!("expected the key `{key}` in {}, found none", self.label));
        }
        field.and_then(read)
    }

    /// Reports a mistake at the value of `key`, or at the header where the key is not there.
    pub(super) fn mistake_at(&self, key: &str, message: impl Into<String>) {
        self.report.mistake(self.offset_of(key), message);
    }

    pub(super) fn offset_of(&self, key: &str) -> usize {
        self.find(key).map_or(self.offset, |field| field.offset)
    }

    /// Every key with its own offset and value, for a table whose keys are an operator's to choose.
    pub(super) fn all_entries(&mut self) -> impl Iterator<Item = (&'r str, usize, Field<'r>)> + use<'r> {
        self.takes_any_key = true;
        self.entries()
    }

    fn entries(&self) -> impl Iterator<Item = (&'r str, usize, Field<'r>)> + use<'r> {
        let report = self.report;
        let entries = self.table.into_iter().flat_map(|table| table.iter());
        entries.map(move |(key, value)| (key.get_ref().as_ref(), key.span().start, Field::of(report, key, value)))
    }

    /// Reads a `[table]`; one that is not there as an empty one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        label: &'static str,
        read: impl FnOnce(&mut Section<'r>) -> T,
    ) -> T {
        let field = self.field(key);
        let table = field.and_then(|field| match field.value {
            DeValue::Table(table) => Some(table),
            DeValue::Array(_) => field.expected_but(label, "an array (single brackets make a table)"),
            _ => field.expected(label),
        });
        let mut section = Section::new(self.report, label, field.map_or(self.offset, |field| field.offset), table);
        let result = read(&mut section);
        section.refuse_unknown_keys();
        result
    }

    /// Reads each `[[table]]`, in the file's order; those that give nothing are left out.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        label: &'static str,
        mut read: impl FnMut(&mut Section<'r>) -> Option<T>,
    ) -> Vec<T> {
        let Some(field) = self.field(key) else { return Vec::new() };
        if field.value.is_table() {
            return field.expected_but(label, &format!("[{key}], with single brackets")).unwrap_or_default();
        }
        let Some(items) = field.items(label) else { return Vec::new() };
        items.filter_map(|item| item.table(label, &mut read).flatten()).collect()
    }

    /// Ends the reading of this table.
    pub(super) fn refuse_unknown_keys(&self) {
        let unknown = self.entries().filter(|(key, ..)| !self.takes_any_key && !self.asked.contains(key));
        for (key, offset, _) in unknown {
            let hint = match closest(key, self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("it may hold {}", self.asked.join(", ")),
            };
            let message = format!("expected a key of {}, found `{}` ({hint})", self.label, key.escape_debug());
            self.report.mistake(offset, message);
        }
    }
}

/// The candidate that `text` is most likely a slip for.
pub(super) fn closest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let text = text.to_lowercase();
    let scored = candidates.map(|candidate| (distance(&text, &candidate.to_lowercase()), candidate));
    let (steps, candidate) = scored.min_by_key(|(steps, _)| *steps)?;
    (steps <= candidate.chars().count().div_ceil(3)).then_some(candidate)
}

/// How many single characters must be put in, taken out or changed to turn one text into the other.
fn distance(from: &str, to: &str) -> usize {
    const LONGEST: usize = 64;
    let to: Vec<char> = to.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.chars().take(LONGEST).enumerate() {
        let mut next = vec![index.saturating_add(1)];
        for ((b, above), diagonal) in to.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or_default();
            let step = above.min(&left).saturating_add(1);
            next.push(step.min(diagonal.saturating_add(usize::from(a != *b))));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        let known = ["listen", "ops_listen", "markup_percent"];
        for (text, meant) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("opslisten", Some("ops_listen")),
            ("markup-percent", Some("markup_percent")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest(text, known.into_iter()), meant, "{text:?}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(quoted("a\"b"), "\"a\\\"b\"");
        assert_eq!(quoted("a\nkey = b"), "\"a\"…");
        assert_eq!(quoted(&"é".repeat(50)), format!("\"{}\"…", "é".repeat(40)));
    }
}
