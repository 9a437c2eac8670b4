//! The error texts that panels are known to answer with. See `docs/protocol.md`, "Error texts".

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::domain::outcome::RejectKind;

/// What a known error text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The request created nothing, for this reason.
    Rejected(RejectKind),
    /// Panels say this also where they have created the order.
    Ambiguous,
    /// Our account there is blocked. Some panels find that out after taking the money.
    AccountBlocked,
    /// No order with that ID on our account there.
    UnknownOrder,
}

use Meaning::{AccountBlocked, Ambiguous, Rejected, UnknownOrder};
use RejectKind::{Balance, DuplicateLink, Input, Key, Maintenance, Protocol, RateLimit, Service};

/// Whole texts, as [`normalised`] writes them: `#` stands for any number.
const WHOLE: &[(Meaning, &[&str])] = &[
    (
        Rejected(Key),
        &[
            "invalid api key",
            "incorrect api key",
            "api key invalid",
            "api key is invalid",
            "wrong api key",
            "api key hatali",
            "gecersiz api key",
            "incorrect request or api key",
            "api is disable for this user or user not found! contact the support",
            "api is disabled for this user or user not found! contact the support",
        ],
    ),
    (
        AccountBlocked,
        &[
            "your account has been suspended",
            "your account is suspended",
            "your account is not active",
            "your account is inactive",
            "account suspended",
            "account is suspended",
            "account banned",
            "neworder.error.account_banned",
        ],
    ),
    (
        Rejected(Protocol),
        &[
            "api key is required",
            "missing api key",
            "missing data",
            "eksik veri",
            "incorrect request",
            "this action is invalid",
            "invalid action",
            "incorrect action",
            "incorrect parameters",
            "the request not found",
            "the selected action is invalid",
            "method not allowed",
            "failed to place order",
            "invalid payment",
            "payload too large",
        ],
    ),
    (
        Rejected(Service),
        &[
            "incorrect service id",
            "invalid service id",
            "error.incorrect_service_id",
            "neworder.error.incorrect_service_id",
            "service id does not exists",
            "service id does not exist",
            "service not found or inactive",
            "servis pasif ya da bulunamadi",
            "neworder.error.service_not_found",
            "neworder.error.service_inactive",
            "error.invalid_service",
            "incorrect service type",
            "disabled service id",
            "service temporarily disabled",
        ],
    ),
    (
        Rejected(Balance),
        &[
            "not enough funds on balance",
            "not enough funds",
            "neworder.error.not_enough_funds",
            "neworder.error.insufficient_balance",
            "insufficient balance",
            "your balance is insufficient",
            "bakiyeniz yetersiz",
            "balance is not enough",
        ],
    ),
    (
        Rejected(Input),
        &[
            "quantity less than minimal",
            "quantity less than minimal #",
            "quantity less than minimum #",
            "quantity more than maximum",
            "quantity more than maximum #",
            "quantity less than maximum #",
            "neworder.error.min_quantity",
            "neworder.error.max_quantity",
            "minimum quantity is #",
            "maximum quantity is #",
            "quantity must be between # and #",
            "quantity out of bounds",
            "quantity must to be greater than or equal to minimum amount #",
            "quantity must to be greater than or equal to minimum amount",
            "quantity must to be less than or equal to maximum amount #",
            "quantity must to be less than or equal to maximum amount",
            "enter a value above the minimum number",
            "maximum number exceed",
            "maximum number exceeded",
            "minimum number can not be much than maximum number",
            "incorrect quantity",
            "invalid quantity",
            "neworder.error.invalid_quantity",
            "neworder.error.not_enough_quantity",
            "bad link",
            "incorrect link",
            "invalid link",
            "neworder.error.link",
            "neworder.error.invalid_link",
            "neworder.error.link_not_found",
            "link is required",
            "instagram profile is hidden",
            "private account",
            "comments field is required",
            "neworder.error.comment",
            "invalid comments",
            "you must fill in the required fields",
            "quantity is required",
            "runs is required",
            "interval time is required",
            "this services does not support dripfeed feature",
            "this service does not support dripfeed feature",
        ],
    ),
    (
        Rejected(DuplicateLink),
        &[
            "you have active order with this link",
            "you have active order with this link. please wait until order being completed",
            "neworder.error.link_duplicate",
            "you cannot start a new order with the same link that is active processing order",
            "active order with this link exists",
            "error.duplicate_order",
            "duplicate order",
            "neworder.error.too_many_orders",
        ],
    ),
    (Rejected(RateLimit), &["processing another transaction"]),
    (
        Rejected(Maintenance),
        &[
            "maintenance",
            "maintenance mode",
            "under maintenance",
            "system maintenance",
            "system under maintenance",
            "system is under maintenance",
            "the system is under maintenance",
            "site is under maintenance",
            "sistem bakimda",
            "sistem sedang maintenance",
            "hệ thống đang bảo trì",
        ],
    ),
    (
        Ambiguous,
        &[
            "there was an error processing your request",
            "there was an error processing your request. please try again later",
            "there was an error while creating your order",
            "siparisiniz verilirken hata olustu",
            "internal server error",
            "server error",
        ],
    ),
    (
        UnknownOrder,
        &[
            "incorrect order id",
            "error.incorrect_order_id",
            "invalid order id",
            "invalid order ids",
            "order not found",
            "siparis bulunamadi",
        ],
    ),
];

/// Beginnings, as [`normalised`] writes them, of texts that go on with a name or a figure.
const BEGINNINGS: &[(Meaning, &str)] = &[
    (Rejected(RateLimit), "too many requests"),
    (Rejected(RateLimit), "rate limit exceeded"),
    (Rejected(Protocol), "missing required parameter"),
    (Rejected(Protocol), "payload too large (max "),
];

static TABLE: LazyLock<HashMap<&'static str, Meaning>> =
    LazyLock::new(|| WHOLE.iter().flat_map(|(meaning, texts)| texts.iter().map(|text| (*text, *meaning))).collect());

/// What `text` means, where it is a known one in any case and spelling.
#[must_use]
pub fn known(text: &str) -> Option<Meaning> {
    let text = normalised(text);
    TABLE
        .get(text.as_str())
        .copied()
        .or_else(|| BEGINNINGS.iter().find(|(_, beginning)| text.starts_with(beginning)).map(|(meaning, _)| *meaning))
}

/// Whether `text` is, from its first letter to its last, one of the known ones about the client's own input, so
/// that it can carry nothing else: no number in brackets either, which may be an order's.
#[must_use]
pub fn is_about_input(text: &str) -> bool {
    !text.contains('(') && TABLE.get(normalised(text).as_str()) == Some(&Rejected(Input))
}

/// What panels say of a refill that they don't begin, as [`normalised`] writes it; nothing in it is of theirs.
const ABOUT_REFILLS: &[&str] = &[
    "refill is disabled for this service",
    "refill not allowed",
    "the order is not completed",
    "the refill task is not completed for this order",
    "the order was completed or refill was requested less than # hours ago",
    "refill was requested less than # hours ago",
    "refill period has expired",
];

/// Whether `text` is, from its first letter to its last, one of the known ones about a refill.
#[must_use]
pub fn is_about_refill(text: &str) -> bool {
    !text.contains('(') && ABOUT_REFILLS.contains(&normalised(text).as_str())
}

/// What the number in `status` means that one family of panels sends beside its (often translated) texts.
/// Its 113 and 114 each stand for two different things, so they say nothing.
#[must_use]
pub fn known_code(code: u16) -> Option<Meaning> {
    match code {
        101 => Some(Rejected(Protocol)),
        102 => Some(Rejected(Key)),
        103 => Some(AccountBlocked),
        104 => Some(UnknownOrder),
        105 => Some(Rejected(Service)),
        107..=112 => Some(Rejected(Input)),
        _ => None,
    }
}

/// Lower case, Turkish letters plain, one blank between words, every number a `#`, no closing full stop, and
/// no code in brackets at the end.
fn normalised(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().flat_map(char::to_lowercase).filter_map(folded).peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() {
            while letters.peek().is_some_and(|next| next.is_ascii_digit() || matches!(next, '.' | ',')) {
                letters.next();
            }
            plain.push('#');
        } else {
            plain.push(letter);
        }
    }
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = |c: char| matches!(c, '.' | '!' | ' ' | ':');
    let words = words.trim_end_matches(ends);
    words.strip_suffix("(#)").unwrap_or(words).trim_matches(ends).to_owned()
}

fn folded(letter: char) -> Option<char> {
    Some(match letter {
        'ş' => 's',
        'ı' => 'i',
        'ğ' => 'g',
        'ü' => 'u',
        'ö' => 'o',
        'ç' => 'c',
        // What lower-casing leaves of the Turkish capital İ.
        '\u{307}' => return None,
        '\u{2019}' => '\'',
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_about_the_input_are_fit_for_a_client() {
        for (text, fit) in [
            ("Bad link.", true),
            ("Quantity less than minimal 50", true),
            ("Bad link (100001)", false),
            ("Alpha: bad link", false),
            ("Bad link; Not enough funds on balance", false),
            ("Not enough funds on balance", false),
            ("see https://alpha.test/faq", false),
        ] {
            assert_eq!(is_about_input(text), fit, "{text}");
        }
    }

    #[test]
    fn only_known_words_about_a_refill_are_fit_for_a_client() {
        for text in ABOUT_REFILLS {
            assert_eq!(normalised(text), *text);
        }
        for (text, fit) in [
            ("The order was completed or refill was requested less than 24 hours ago.", true),
            ("REFILL NOT ALLOWED", true),
            ("Refill not allowed (100001)", false),
            ("Refill is only available manually via support ticket at https://alpha.test", false),
            ("Bad link", false),
        ] {
            assert_eq!(is_about_refill(text), fit, "{text}");
        }
    }

    #[test]
    fn every_row_reads_as_it_is_written() {
        for (meaning, texts) in WHOLE {
            for text in *texts {
                assert_eq!(normalised(text), *text);
                assert_eq!(known(text), Some(*meaning), "{text}");
                assert_eq!(known(&format!(" {}. ", text.to_uppercase())), Some(*meaning), "{text}");
            }
        }
        assert_eq!(WHOLE.iter().map(|(_, texts)| texts.len()).sum::<usize>(), TABLE.len(), "a text in two rows");
    }

    #[test]
    fn numbers_spelling_and_codes_do_not_matter() {
        for (text, meaning) in [
            ("Quantity less than minimal 1,000", Rejected(Input)),
            ("Quantity must be between 10 and 1.000.000.", Rejected(Input)),
            ("API key hatalı", Rejected(Key)),
            ("SİPARİŞİNİZ VERİLİRKEN HATA OLUŞTU", Ambiguous),
            ("Servis pasif ya da bulunamadı", Rejected(Service)),
            ("Missing  data (101)", Rejected(Protocol)),
            ("Too many requests. Limit 50/minute.", Rejected(RateLimit)),
            ("Missing required parameter: link", Rejected(Protocol)),
            ("Payload too large (max 500KB)", Rejected(Protocol)),
        ] {
            assert_eq!(known(text), Some(meaning), "{text}");
        }
        for text in ["", "Something else", "Invalid API key for order 5", "Bad links", "error"] {
            assert_eq!(known(text), None, "{text}");
        }
    }

    #[test]
    fn codes_with_two_meanings_have_none() {
        assert_eq!(known_code(102), Some(Rejected(Key)));
        for code in [100, 106, 113, 114, 200] {
            assert_eq!(known_code(code), None, "{code}");
        }
    }

    #[test]
    fn the_documentation_s_table_is_what_the_code_does() {
        let page = include_str!("../../docs/protocol.md");
        let section = page.split("## Error texts").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<(&str, &str)> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.rsplit_once(" | "))
            .collect();
        assert!(rows.len() >= 13);
        for (texts, meaning) in rows {
            let wanted = match meaning {
                "blocked" => AccountBlocked,
                "ambiguous" => Ambiguous,
                "unknown order" => UnknownOrder,
                kind => Rejected(RejectKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap()),
            };
            for text in texts.split("; ").map(|text| text.trim_matches('`')) {
                assert_eq!(known(&text.replace('N', "100")).or(known(text)), Some(wanted), "{text}");
            }
        }
    }
}
