//! `providers.toml`: what an operator may write, and every mistake in it at once.

pub mod secret;
pub mod settings;
