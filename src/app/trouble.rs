//! The store's trouble in the log: a store that can't write says so itself, once, and not again by everybody who
//! meets it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::locked;
use crate::store::StoreError;

/// Between two lines of what everybody meets while a store is away or overloaded.
const QUIET_FOR: Duration = Duration::from_secs(10);

/// When somebody last told of what everybody meets.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

/// Whether the operator does not know of this trouble yet: all that is told of it goes into the log, but for what everybody
/// meets.
pub(super) fn is_news(error: &StoreError) -> bool {
    is_news_at(error, &mut locked(&LAST), Instant::now())
}

fn is_news_at(error: &StoreError, last: &mut Option<Instant>, now: Instant) -> bool {
    match error {
        // The store has told of it.
        StoreError::CannotWrite(_) => false,
        StoreError::CannotRead(_) | StoreError::Overloaded => {
            let is_news = last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET_FOR);
            if is_news {
                *last = Some(now);
            }
            is_news
        }
        _ => true,
    }
}

/// Warns of a store's error, as `tracing::warn!` does; at the level of debugging where that is no news.
macro_rules! warn_of {
    ($error:expr, $($words:tt)+) => {
        if $crate::app::trouble::is_news(&$error) {
            tracing::warn!(error = %$error, $($words)+);
        } else {
            tracing::debug!(error = %$error, $($words)+);
        }
    };
}

pub(super) use warn_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_meets_is_told_by_one_of_them_every_ten_seconds() {
        let (mut last, start) = (None, Instant::now());
        let mut told = 0;
        // A minute of six tasks that meet it twice a second.
        for half_second in 0..120 {
            let now = start + Duration::from_millis(500) * half_second;
            for error in [StoreError::Overloaded, StoreError::CannotRead("it is away".into())] {
                for _ in 0..3 {
                    told += u32::from(is_news_at(&error, &mut last, now));
                }
            }
            assert!(
                !is_news_at(&StoreError::CannotWrite("it is away".into()), &mut last, now),
                "the store tells of it"
            );
            assert!(is_news_at(&StoreError::Engine("of one order".into()), &mut last, now));
        }
        assert_eq!(told, 6);
    }
}
