//! A word for a URL with a key, by which two can be told apart that show neither.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The mark of an account: the hash of its `url` and `key`, with `salt`, a random word, so that it says nothing to whoever
/// has seen it elsewhere.
#[must_use]
pub fn account_mark(salt: &str, url: &str, key: &SecretString) -> String {
    let url = url.parse::<reqwest::Url>().map_or_else(|_| url.to_owned(), String::from);
    let mut digest = Sha256::new();
    for part in [salt, &url, key.expose_secret()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_salt_url_and_key_and_shows_none() {
        let mark = |salt, url, key: &str| account_mark(salt, url, &key.into());
        let first = mark("salt", "https://a.test", "key");
        assert_eq!(first, mark("salt", "https://A.test/", "key"), "one URL, written in two ways");
        for other in [
            mark("other", "https://a.test", "key"),
            mark("salt", "https://a.test/v2", "key"),
            mark("salt", "https://a.test", "kez"),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(first.len(), 32);
    }
}
