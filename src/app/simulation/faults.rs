//! What a panel says to an `add` beside the truth, and what that means by `docs/protocol.md`: written down here a second
//! time, so that the classifier is held to it and not to itself.

use super::rng::Rng;

/// What a reply to an `add` means to who knows the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Placed, under this ID.
    Accepted(String),
    /// Nothing was created; this kind of refusal.
    Rejected(Why),
    /// Nothing left the machine.
    NotSent,
    /// It may have been placed.
    Ambiguous,
}

impl Told {
    pub(super) const fn is_definite(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::NotSent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Input,
    Duplicate,
    Balance,
    Key,
    Service,
    RateLimit,
    Maintenance,
    Protocol,
}

use Why::{Balance, Input, Key, Maintenance, Protocol, RateLimit, Service};

/// Texts that are said only where nothing was created.
pub(super) const REFUSALS: &[(Why, &[&str])] = &[
    (Key, &["Invalid API key", "Incorrect API Key", "API key hatalı", "Incorrect request or API key"]),
    (Key, &["API is Disable for this user or User Not Found! Contact the Support"]),
    (Protocol, &["API key is required", "Missing data", "Incorrect request", "This action is Invalid"]),
    (Protocol, &["Missing required parameter: link", "The selected action is invalid.", "Method Not Allowed"]),
    (Protocol, &["Failed to place order", "Invalid payment", "Payload too large (max 500KB)"]),
    (Service, &["Incorrect service ID", "neworder.error.service_inactive", "Service not found or inactive"]),
    (Service, &["Servis pasif ya da bulunamadı", "Disabled service ID", "Service temporarily disabled"]),
    (Balance, &["Not enough funds on balance", "neworder.error.insufficient_balance", "Bakiyeniz yetersiz"]),
    (Input, &["Quantity less than minimal 10", "Quantity more than maximum 5000", "neworder.error.min_quantity"]),
    (Input, &["Bad link", "neworder.error.invalid_link", "Instagram profile is hidden.", "private account"]),
    (Input, &["Comments field is required", "You must fill in the required fields.", "Incorrect quantity"]),
    (RateLimit, &["Too many requests. Limit 50/minute.", "Rate limit exceeded. Max 60 requests per minute."]),
    (RateLimit, &["processing another transaction"]),
    (Maintenance, &["Maintenance", "System under maintenance"]),
];

/// What a panel with an order on that link says.
pub(super) const DUPLICATES: &[&str] = &[
    "You have active order with this link. Please wait until order being completed.",
    "neworder.error.link_duplicate",
    "Active order with this link exists",
    "error.duplicate_order",
];

/// Texts that are said with or without an order.
const UNCLEAR: &[&str] = &[
    "There was an error processing your request. Please try again later",
    "There was an error while creating your order",
    "Siparişiniz verilirken hata oluştu",
    "Internal server error",
    "Server Error",
    "Your account has been suspended.",
];

/// The same, in words that nobody knows.
const UNKNOWN: &[&str] = &[
    "Something went sideways, error 0x17",
    "Order queued for review",
    "Order could not be saved",
    "Not enough funds on balance of the reserve account",
];

/// HTTP statuses of an edge that did not reach the panel, or a limiter before it.
const UNREACHED: &[(u16, Why)] = &[
    (307, Maintenance),
    (308, Maintenance),
    (404, Maintenance),
    (429, RateLimit),
    (429, RateLimit),
    (429, RateLimit),
    (521, Maintenance),
    (523, Maintenance),
    (525, Maintenance),
    (526, Maintenance),
    (530, Maintenance),
];

/// HTTP statuses that say nothing of the order.
const LOST: &[u16] = &[301, 302, 303, 500, 502, 503, 504, 520, 522, 524];

/// Bodies of a 200 that say nothing of the order.
const EMPTY: &[&str] = &[
    "",
    "   \r\n",
    "<!DOCTYPE html><html><body>Login</body></html>",
    r#"{"order":null}"#,
    r#"{"order":0}"#,
    r#"{"order":false,"status":"success"}"#,
    r#"{"order":""}"#,
    r#"{"status":"success"}"#,
    r#"{"order":-5}"#,
    r#"{"order":"12 34"}"#,
    "[]",
    "OK",
    r#"{"order":9123"#,
];

/// A reply as it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) retry_after: Option<u64>,
    pub(super) challenge: bool,
}

impl Said {
    pub(super) fn ok(body: impl Into<String>) -> Self {
        Self::with(200, body)
    }

    pub(super) fn with(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), retry_after: None, challenge: false }
    }
}

/// A reply that certainly means that nothing was created.
pub(super) fn refusal(rng: &mut Rng) -> (Said, Why) {
    if rng.chance(35) {
        let (status, why) = *rng.pick(UNREACHED);
        let body = *rng.pick(&["", "<html><body>error</body></html>", "gone"]);
        let mut said = Said::with(status, body);
        if status == 429 {
            said.retry_after = rng.chance(50).then(|| 1 + rng.below(240));
        }
        return (said, why);
    }
    if rng.chance(10) {
        let mut said = Said::with(*rng.pick(&[403, 503]), "<html><title>Just a moment...</title></html>");
        said.challenge = rng.chance(50);
        return (said, Maintenance);
    }
    let (why, texts) = *rng.pick(REFUSALS);
    let text = *rng.pick(texts);
    (error(rng, text), why)
}

/// An error in one of the forms that panels give it.
pub(super) fn error(rng: &mut Rng, text: &str) -> Said {
    let status = *rng.pick(&[200, 200, 200, 400, 401, 403, 422]);
    let quoted = serde_json::Value::from(text);
    let body = match rng.below(8) {
        0 => format!(r#"{{"status":"error","msg":{quoted}}}"#),
        1 => format!("<b>Notice</b>: Undefined index\n{{\"error\":{quoted}}}"),
        2 => format!("\u{feff}{{\"error\":{quoted}}}"),
        3 => format!(r#"{{"error":{{"message":{quoted}}}}}"#),
        4 => text.to_owned(),
        _ => format!(r#"{{"error":{quoted}}}"#),
    };
    Said::with(status, body)
}

/// A reply that leaves open whether there is an order. `key`: some panels show what they were sent.
pub(super) fn unclear(rng: &mut Rng, key: &str) -> Said {
    match rng.below(10) {
        0..3 => {
            let status = *rng.pick(LOST);
            Said::with(
                status,
                *rng.pick(&["", "<html><body>Bad gateway</body></html>", r#"{"message":"Server Error"}"#]),
            )
        }
        3..5 => Said::ok(*rng.pick(EMPTY)),
        5 => {
            let text = *rng.pick(UNCLEAR);
            error(rng, text)
        }
        6 => {
            let text = format!("cannot process key={key}&action=add");
            error(rng, &text)
        }
        _ => {
            let text = *rng.pick(UNKNOWN);
            error(rng, text)
        }
    }
}

/// Whether an answer is an error in words that nobody knows.
pub(super) fn is_unknown(body: &str) -> bool {
    UNKNOWN.iter().any(|text| body.contains(text))
}

/// An order's ID in one of the forms that panels give it.
pub(super) fn accepted(rng: &mut Rng, id: &str) -> Said {
    match rng.below(9) {
        0 => Said::ok(format!(r#"{{"order":"{id}"}}"#)),
        1 => Said::with(201, format!(r#"{{"order":{id},"charge":"0.1","currency":"USD"}}"#)),
        2 => Said::ok(format!(r#"{{"status":"success","order":{id}}}"#)),
        3 => Said::ok(format!(r#"{{"data":{{"order":{id}}}}}"#)),
        4 => Said::ok(format!("<br />\nWarning: header() in /a.php\n{{\"order\":{id}}}")),
        5 => Said::ok(format!(r#"{{"order":{id},"error":"Mail could not be sent"}}"#)),
        6 => Said::ok(format!("\u{feff}{{\"order\":{id}}}")),
        _ => Said::ok(format!(r#"{{"order":{id}}}"#)),
    }
}

/// Every text that a client may be shown.
pub(super) fn may_be_shown(text: &str) -> bool {
    REFUSALS.iter().any(|(why, texts)| *why == Input && texts.contains(&text))
}
