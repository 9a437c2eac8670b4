//! The operators' token, and the two ways to show it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};

/// `server.ops_token`, where one is set. Only its digest is kept and compared, so that the time it takes tells
/// nothing of the token.
#[derive(Clone)]
pub(super) struct OpsToken(Option<[u8; 32]>);

/// Nothing of it is shown.
impl std::fmt::Debug for OpsToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_set() { "OpsToken(set)" } else { "OpsToken(none)" })
    }
}

impl OpsToken {
    pub(super) fn new(token: Option<&str>) -> Self {
        Self(token.map(|token| digest(token.as_bytes())))
    }

    pub(super) const fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a program shows the token: `Authorization: Bearer TOKEN`. Everybody is let in where none is set.
    pub(super) fn admits_program(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = self.0 else { return true };
        credentials(headers, "bearer").is_some_and(|token| digest(token.as_bytes()) == wanted)
    }

    /// Whether a browser, or a program, shows it: also `Authorization: Basic`, with any user and the token as the
    /// password.
    pub(super) fn admits_browser(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = self.0 else { return true };
        let pair = credentials(headers, "basic").and_then(|text| STANDARD.decode(text).ok());
        let password = pair.as_deref().and_then(|pair| pair.splitn(2, |byte| *byte == b':').nth(1));
        password.is_some_and(|password| digest(password) == wanted) || self.admits_program(headers)
    }
}

fn credentials<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| rest.trim())
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        headers
    }

    #[test]
    fn browsers_send_it_as_a_password_and_programs_do_not() {
        let token = OpsToken::new(Some("s3:cret"));
        let basic = format!("Basic {}", STANDARD.encode("anybody:s3:cret"));
        assert!(token.admits_browser(&with(&basic)) && !token.admits_program(&with(&basic)));
        assert!(token.admits_browser(&with("Bearer s3:cret")) && token.admits_program(&with("bearer s3:cret")));
        for pair in ["s3:cret", "s3:cret:", ":s3", "anybody:s3:cret ", ""] {
            assert!(!token.admits_browser(&with(&format!("Basic {}", STANDARD.encode(pair)))), "{pair}");
        }
        for other in ["Basic ???", "Basic", "Digest s3:cret"] {
            assert!(!token.admits_browser(&with(other)), "{other}");
        }
        assert!(!token.admits_browser(&HeaderMap::new()));
        assert_eq!(format!("{token:?}"), "OpsToken(set)");
    }
}
