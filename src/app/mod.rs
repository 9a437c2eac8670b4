//! The use-cases: what a client may ask for, and what goes on behind it.

pub mod call;
