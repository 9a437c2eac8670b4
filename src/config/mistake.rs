//! Mistakes in `providers.toml`: each with its place, gathered so that an operator sees all of them at once.

use std::fmt;
use std::path::{Path, PathBuf};

use super::secret::SecretRef;

/// A place in the file. Both count from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in that line.
    pub column: usize,
}

/// One thing that is wrong with the file, and what was expected there. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// Where in it; `None` where the file as a whole could not be read, or lacks something.
    pub place: Option<Place>,
    /// What was expected and what was found.
    pub message: String,
}

/// `providers.toml:12:8: expected …, found …`
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(place) = self.place {
            write!(f, "{}:{}:", place.line, place.column)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every mistake in the file, in its order; at least one. Shown one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    mistakes: Vec<Mistake>,
    /// What the file names, not read yet.
    secrets: Vec<SecretRef>,
}

impl ConfigErrors {
    /// The file as a whole is of no use.
    pub(super) fn whole_file(file: &Path, message: String) -> Self {
        Self { mistakes: vec![Mistake { file: file.to_owned(), place: None, message }], secrets: Vec::new() }
    }

    /// What the file lacks, and so has no place in it; at least one message.
    #[must_use]
    pub fn missing(file: &Path, messages: Vec<String>) -> Self {
        let mistake = |message| Mistake { file: file.to_owned(), place: None, message };
        Self { mistakes: messages.into_iter().map(mistake).collect(), secrets: Vec::new() }
    }

    /// From mistakes in any order.
    pub(super) fn at_places(file: &Path, mut mistakes: Vec<(Place, String)>) -> Self {
        mistakes.sort_by_key(|(place, _)| *place);
        let mistake = |(place, message)| Mistake { file: file.to_owned(), place: Some(place), message };
        Self { mistakes: mistakes.into_iter().map(mistake).collect(), secrets: Vec::new() }
    }

    /// The secrets that the file names, for [`ConfigErrors::with_secrets`].
    pub(super) fn naming(self, secrets: Vec<SecretRef>) -> Self {
        Self { secrets, ..self }
    }

    /// These and others of the same file.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.mistakes.extend(others.mistakes);
        self.mistakes.sort_by_key(|mistake| mistake.place);
        self
    }

    /// Reads the secrets that the file names, and adds a mistake for each that can't be read: whoever needs
    /// them shall not learn of those only after the others are mended.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        let Some(file) = self.mistakes.first().map(|mistake| mistake.file.clone()) else { return self };
        let folder = file.parent().unwrap_or(Path::new(""));
        for secret in std::mem::take(&mut self.secrets) {
            if let Err(error) = secret.read(folder) {
                let message = error.as_mistake();
                self.mistakes.push(Mistake { file: file.clone(), place: Some(secret.place()), message });
            }
        }
        self.mistakes.sort_by_key(|mistake| mistake.place);
        self
    }

    /// All of them, in the file's order.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
