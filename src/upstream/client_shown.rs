//! What an upstream says, as it may be shown: without the key.

use super::{RefillOutcome, RefillReport, Upstream};
use crate::domain::outcome::Outcome;
use crate::domain::status::{Reported, StatusReport};
use crate::upstream::classify::{MAX_TEXT, with_texts};
use crate::upstream::decode::cut;
use crate::upstream::many::ItemError;

/// How many characters of a text are searched for the key: so many that what is beyond is never shown.
const MAX_SEARCHED: usize = 50 * MAX_TEXT;

impl Upstream {
    /// `text` without the key, and only then cut: a cut could leave a part of the key that nothing finds. Looked for
    /// once more in what will be shown: control characters, which are not, may have stood in the midst of it.
    pub(super) fn shown(&self, text: &str) -> String {
        let head: String = text.chars().take(MAX_SEARCHED).collect();
        let line = cut(&self.key.redacted(&head), MAX_SEARCHED);
        cut(&self.key.redacted(&line), MAX_TEXT)
    }

    pub(super) fn without_key(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Accepted(id) if self.key.redacted(id.as_str()) != id.as_str() => {
                Outcome::Ambiguous("the order's ID holds the key that was sent".to_owned())
            }
            outcome => with_texts(outcome, |text| self.shown(text)),
        }
    }

    pub(super) fn refill_without_key(&self, outcome: RefillOutcome) -> RefillOutcome {
        match outcome {
            RefillOutcome::Accepted(id) if self.key.redacted(id.as_str()) == id.as_str() => RefillOutcome::Accepted(id),
            RefillOutcome::Accepted(_) => {
                RefillOutcome::Ambiguous("the refill's ID holds the key that was sent".to_owned())
            }
            RefillOutcome::Refused { text, quotable } => RefillOutcome::Refused { text: self.shown(&text), quotable },
            RefillOutcome::NotTaken(text) => RefillOutcome::NotTaken(self.shown(&text)),
            RefillOutcome::Ambiguous(text) => RefillOutcome::Ambiguous(self.shown(&text)),
        }
    }

    pub(super) fn word_without_key(&self, report: RefillReport) -> RefillReport {
        match report {
            RefillReport::Unknown(word) => RefillReport::Unknown(self.shown(&word)),
            known => known,
        }
    }

    pub(super) fn item_without_key(&self, error: ItemError) -> ItemError {
        match error {
            ItemError::UnknownOrder(text) => ItemError::UnknownOrder(self.shown(&text)),
            ItemError::Refused(text) => ItemError::Refused(self.shown(&text)),
            ItemError::Missing => ItemError::Missing,
        }
    }

    pub(super) fn report_without_key(&self, report: &mut StatusReport) {
        if let Reported::Failed(word) | Reported::Unknown(word) = &mut report.status {
            *word = self.shown(word);
        }
        report.currency = report.currency.take().map(|currency| self.shown(&currency));
    }
}
