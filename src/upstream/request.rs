//! What is sent. See `docs/protocol.md`, "Actions".

use std::borrow::Cow;

use super::redact::Key;
use super::wire::{CallKind, Form};
use crate::domain::ids::{UpstreamOrderId, UpstreamRefillId};

/// How many IDs panels take in one call.
pub const MAX_BATCH: usize = 100;

/// `key`, `action`, then `params` in their order. A `key` or `action` among those is left out: it would make
/// this another request.
pub(crate) fn form(key: &Key, kind: CallKind, params: &[(Cow<'static, str>, String)]) -> Form {
    let reserved = |name: &str| name.eq_ignore_ascii_case("key") || name.eq_ignore_ascii_case("action");
    let mut form: Form = Vec::with_capacity(params.len().saturating_add(2));
    form.push(("key".into(), key.expose().to_owned()));
    form.push(("action".into(), kind.action().to_owned()));
    form.extend(params.iter().filter(|(name, _)| !reserved(name)).cloned());
    form
}

/// The parameter for many orders' statuses or cancels; at most [`MAX_BATCH`] of them.
pub(crate) fn orders(ids: &[UpstreamOrderId]) -> (Cow<'static, str>, String) {
    ("orders".into(), list(ids.iter().map(UpstreamOrderId::as_str)))
}

/// The parameter for many refills' statuses; at most [`MAX_BATCH`] of them.
pub(crate) fn refills(ids: &[UpstreamRefillId]) -> (Cow<'static, str>, String) {
    ("refills".into(), list(ids.iter().map(UpstreamRefillId::as_str)))
}

fn list<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.take(MAX_BATCH).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_key_action_and_the_parameters() {
        let key = Key::new("secret".to_owned().into());
        let params = [("link".into(), "https://a/?x=1".to_owned()), ("Key".into(), "mine".to_owned())];
        let sent: Vec<_> =
            form(&key, CallKind::Add, &params).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(sent, ["key=secret", "action=add", "link=https://a/?x=1"]);
    }

    #[test]
    fn a_batch_holds_a_hundred() {
        let ids: Vec<_> = (0..150).map(|id: u32| UpstreamOrderId::new(id.to_string())).collect();
        assert_eq!(orders(&ids).1.split(',').count(), MAX_BATCH);
    }
}
