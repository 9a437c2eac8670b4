//! The address of a Redis, and what is wrong with one, in words that show nothing of its password.

use reqwest::Url;

/// How it is written.
pub(super) const REDIS_URL: &str = "\"redis://HOST:PORT/DATABASE\" (\"rediss://\" with TLS)";

/// How a character in a user name or password is written.
const ENCODED: &str = "in a user name or password, write % as %25, : as %3A, / as %2F, ? as %3F, # as %23, @ as %40";

/// Databases are numbered; most servers have 16.
const MAX_DATABASE: u16 = u16::MAX;

/// Whether that is meant as one.
pub(super) fn is_meant(text: &str) -> bool {
    ["redis:", "rediss:"].iter().any(|scheme| text.starts_with(scheme))
}

/// The address.
///
/// # Errors
/// What it is instead; nothing of the text is in it.
pub(super) fn read(text: &str) -> Result<Url, String> {
    let Some((_, rest)) = text.split_once("://").filter(|_| is_meant(text)) else {
        return Err("something else".to_owned());
    };
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err("a blank in it".to_owned());
    }
    let url = Url::parse(text).map_err(|error| {
        let hint = if rest.contains('@') { format!(" ({ENCODED})") } else { String::new() };
        format!("one that can't be read: {error}{hint}")
    })?;
    let problem = problem(&url);
    problem.map_or(Ok(url), Err)
}

fn problem(url: &Url) -> Option<String> {
    let host = url.host_str().unwrap_or_default();
    let database = url.path().trim_matches('/');
    if url.query().is_some() || url.fragment().is_some() {
        return Some(format!("one with a ? or # in it ({ENCODED})"));
    }
    if host.is_empty() {
        return Some("no host in it".to_owned());
    }
    if host == "0.0.0.0" || host == "[::]" {
        return Some("the address of no machine in it".to_owned());
    }
    if url.port() == Some(0) {
        return Some("port 0".to_owned());
    }
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Some(format!("a database other than a number from 0 to {MAX_DATABASE}"));
    }
    let password = url.password().unwrap_or_default();
    if !url.username().is_empty() && password.is_empty() {
        return Some("a user name without a password (a password alone is written :PASSWORD@HOST)".to_owned());
    }
    if ![url.username(), password].into_iter().all(is_well_encoded) {
        return Some(format!("a % that stands for no character of a text ({ENCODED})"));
    }
    None
}

/// Whether what is meant by it is text.
fn is_well_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    let mut bytes: Vec<u8> = parts.next().unwrap_or_default().into();
    for part in parts {
        let Some((code, rest)) = part.as_bytes().split_at_checked(2) else { return false };
        let Some(byte) = std::str::from_utf8(code).ok().and_then(|code| u8::from_str_radix(code, 16).ok()) else {
            return false;
        };
        bytes.push(byte);
        bytes.extend_from_slice(rest);
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_may_have_the_rest() {
        for text in [
            "redis://h",
            "rediss://h",
            "redis://127.0.0.1:6379/0",
            "redis://[::1]:6379/15",
            "rediss://user:p%40%2F%3a@redis.example:6380/3/",
            "redis://:p@ss@h",
            "redis://:\u{e9}@h/",
        ] {
            assert!(read(text).is_ok(), "{text}: {:?}", read(text));
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        for (text, expected) in [
            ("http://:topsecret@h", "something else"),
            ("redis:topsecret", "something else"),
            ("rediss://", "no host"),
            ("redis:///0", "no host"),
            ("redis://:topsecret@", "can't be read: empty host (in a user name"),
            ("redis://:top/secret@h", "can't be read: "),
            ("redis://:top?secret@h", "can't be read: "),
            ("redis://h:topsecret", "can't be read: invalid port number"),
            ("redis://h:70000", "can't be read: invalid port number"),
            ("redis://h:0", "port 0"),
            ("redis://0.0.0.0", "no machine"),
            ("redis://[::]", "no machine"),
            ("redis://:topsecret@h/zero", "a database other than a number"),
            ("redis://:topsecret@h/0/1", "a database other than a number"),
            ("redis://:topsecret@h/0?protocol=topsecret", "a ? or #"),
            ("rediss://:topsecret@h/0#insecure", "a ? or #"),
            ("redis://topsecret@h", "a user name without a password"),
            ("redis://u:top%secret@h", "a % that stands for no character"),
            ("redis://u:topsecret%ff@h", "a % that stands for no character"),
            ("redis://u:topsecret%4@h", "a % that stands for no character"),
            ("redis:// :topsecret@h", "a blank"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("secret"), "{text}: {problem}");
        }
    }
}
