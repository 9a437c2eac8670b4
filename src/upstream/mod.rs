//! The panels' side of the panel API v2: what is sent to them, what their answers mean, and how often they are
//! called. See `docs/protocol.md`.
//!
//! | file | what is in it |
//! | --- | --- |
//! | [`wire`] | the seam: a form goes out, a reply or a failure comes back |
//! | [`transport`] | the wire as HTTP |
//! | [`decode`] | from a body to JSON, however it is wrapped |
//! | [`error_texts`] | the table of known error texts |
//! | [`classify`] | what came of an `add` |
//! | [`answers`], [`catalogue`] | statuses and balance; services |
//! | [`listing`] | the list of our orders, and what is said of IDs that may be ours |
//! | [`many`] | which part of an answer about many things is about which |
//! | [`refills`], [`cancels`] | what came of a refill, and of a cancel |
//! | `findings` | what a finished call shows of the upstream |
//! | `account_mark` | a word for a URL with a key |
//! | [`breaker`], [`standing`], `gate` | whether a call may be made, and when |
//! | [`client`] | one upstream with all of that |
//!
//! This room promises that an outcome is a rejection only where the upstream certainly created nothing, that no
//! `add` leaves twice for one call, that the provider's limits hold over all calls, and that the key stays in.

mod account_mark;
pub mod answers;
pub mod breaker;
pub mod cancels;
pub mod catalogue;
pub mod classify;
pub mod client;
pub mod decode;
pub mod error_texts;
mod findings;
mod gate;
pub mod listing;
pub mod many;
mod numbers;
mod redact;
pub mod refills;
mod refusal;
pub mod request;
pub mod standing;
pub mod transport;
pub mod wire;

pub use account_mark::account_mark;
pub use answers::{AnswerError, Balance, MultiStatus, decode_balance, decode_status, decode_statuses};
pub use cancels::{CancelAnswer, MultiCancel};
pub use catalogue::{ServiceList, decode_services};
pub use classify::classify_add;
pub use client::{Health, InCompany, Upstream, UpstreamOptions};
pub use gate::{Limits, Permit};
pub use listing::{LookUp, decode_listing};
pub use many::ItemError;
pub use refills::{MultiRefillStatus, classify_refill};
pub use refusal::Rejects;
pub use request::MAX_BATCH;
pub use standing::{HealthState, Priority, Unavailable};
pub use transport::{HttpWire, HttpWireOptions, WireSetupError};
pub use wire::{CallKind, Form, Reply, TransportError, Wire};
