//! A client's terms as options of `client add` and `client set`.

use clap::Args;

use super::values::{self, Term};
use crate::domain::money::{Money, Percent};
use crate::store::records::ClientChange;

#[derive(Debug, Clone, Args)]
pub(super) struct TermOptions {
    /// Its own markup in percent, before any other; `none`: the configuration's.
    #[arg(long, value_name = "PERCENT", value_parser = values::term(values::percent), allow_negative_numbers = true)]
    markup: Option<Term<Percent>>,
    /// Requests per second; `none`: no limit of its own.
    #[arg(long, value_name = "N", value_parser = values::term(values::rps))]
    rps: Option<Term<u32>>,
    /// How far below zero its balance may go; `none`: not at all.
    #[arg(long, value_name = "AMOUNT", value_parser = values::term(values::credit))]
    credit: Option<Term<Money>>,
    /// Charges less refunds that it may make in a UTC day; `none`: any.
    #[arg(long, value_name = "AMOUNT", value_parser = values::term(values::amount))]
    daily_limit: Option<Term<Money>>,
    /// Addresses it may come from (again for more); `none`: any.
    #[arg(long, value_name = "CIDR", value_parser = values::term(values::address_range))]
    allow_ip: Vec<Term<String>>,
    /// Service IDs it may buy, as patterns (again for more); `none`: any.
    #[arg(long, value_name = "GLOB", value_parser = values::term(values::service_glob))]
    allow_service: Vec<Term<String>>,
}

impl TermOptions {
    /// Whether none was given.
    pub(super) const fn is_empty(&self) -> bool {
        self.markup.is_none()
            && self.rps.is_none()
            && self.credit.is_none()
            && self.daily_limit.is_none()
            && self.allow_ip.is_empty()
            && self.allow_service.is_empty()
    }

    /// What they change; a list takes the place of the list before.
    pub(super) fn into_change(self) -> ClientChange {
        ClientChange {
            markup: self.markup.map(Term::value),
            rps: self.rps.map(Term::value),
            credit: self.credit.map(|credit| credit.value().unwrap_or_default()),
            daily_limit: self.daily_limit.map(Term::value),
            allow_ips: list(self.allow_ip),
            allow_services: list(self.allow_service),
            disabled: None,
        }
    }
}

fn list(terms: Vec<Term<String>>) -> Option<Vec<String>> {
    (!terms.is_empty()).then(|| terms.into_iter().filter_map(Term::value).collect())
}
