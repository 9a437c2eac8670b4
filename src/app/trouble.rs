//! The store's trouble in the log: a store that can't write says so itself, once, and not again by everybody who
//! meets it.

/// Warns of a store's error, as `tracing::warn!` does; at the level of debugging where the store has told of it.
macro_rules! warn_of {
    ($error:expr, $($words:tt)+) => {
        if matches!($error, $crate::store::StoreError::CannotWrite(_)) {
            tracing::debug!(error = %$error, $($words)+);
        } else {
            tracing::warn!(error = %$error, $($words)+);
        }
    };
}

pub(super) use warn_of;
