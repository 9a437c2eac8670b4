//! What a store says instead of an answer.

use std::time::Duration;

/// Why the store did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no store yet.
    #[error("there is no store at {0}: start `tollgate serve` once, it makes one")]
    Missing(String),
    /// Another gateway holds it.
    #[error("the store {0} is in use by another gateway: stop that one first")]
    InUse(String),
    /// Its schema is not the one this program writes.
    #[error("the store {path} has schema {found}, this program needs {wanted}: {advice}")]
    WrongVersion {
        /// The store.
        path: String,
        /// What it has.
        found: i64,
        /// What we need.
        wanted: i64,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing by that name.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// A client, a key, an order.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// That name is taken.
    #[error("there is already a {what} {name:?}")]
    Exists {
        /// A client.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// More work than the store can take; nothing was written.
    #[error("the store has too much to do just now; nothing was written, try again")]
    Overloaded,
    /// It can't write: a full disk, a read-only file. Nothing was written.
    #[error(
        "the store cannot write ({0}); nothing was written: make room, or mend the disk or the way to the database"
    )]
    CannotWrite(String),
    /// It could not be opened: nothing there, nobody who answers, or no right to it.
    #[error("the store {path} can't be opened: {problem}; look at store.url, and at what is there")]
    CannotOpen {
        /// The store.
        path: String,
        /// What the system or the server said.
        problem: String,
    },
    /// A copy of it could not be written; the store is as it was, and so is what stood there.
    #[error(
        "the copy {path} can't be written: {problem}; name a file in a folder that has room and that tollgate's user may \
         write to"
    )]
    NoCopy {
        /// The copy.
        path: String,
        /// What the system said.
        problem: String,
    },
    /// The connection was lost while a commit may have been under way: what was to be written may be there.
    #[error("the connection to the store was lost, what was being written may be there: {0}")]
    InDoubt(String),
    /// It can't be reached or read; nothing was to be written.
    #[error("the store failed: it can't be read: {0}")]
    CannotRead(String),
    /// Anything else that the engine said.
    #[error("the store failed: {0}")]
    Engine(String),
    /// What is stored can't be read back: a bug or a damaged file.
    #[error("the store holds what cannot be: {0}: run `tollgate verify`")]
    Corrupt(String),
}

impl StoreError {
    /// Of the store at `path`, while it is opened.
    pub(super) fn at_opening(self, path: &str) -> Self {
        match self {
            Self::CannotWrite(problem) => Self::CannotOpen { path: path.to_owned(), problem },
            other => other,
        }
    }
}

/// How long a client waits for a store that others may keep busy or that is far away, beside what its order may wait for
/// an upstream. What has not been begun by then is not begun.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Shorthand for the answers of a store.
pub type StoreResult<T> = Result<T, StoreError>;
