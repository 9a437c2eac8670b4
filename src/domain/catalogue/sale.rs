//! What a service costs a client, and whether selling or forwarding it keeps the margin.

use rust_decimal::Decimal;

use super::{Catalogue, Offer, Service};
use crate::domain::money::{Money, Percent, Rate};
use crate::domain::params::{Limits, OrderParams};
use crate::domain::pricing::{self, Markup, PriceError};
use crate::domain::service_type::{Billing, ServiceType};

impl Service {
    /// Whether its upstream lists it at a rate of 0.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.cost.value().is_zero()
    }

    /// What an order of it is checked against.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits { kind: self.kind, min: self.min, max: self.max, dripfeed: self.dripfeed }
    }
}

impl Catalogue {
    /// The rate that a client with this markup of its own sees.
    ///
    /// # Errors
    /// [`PriceError`] where it can't be computed.
    pub fn rate(&self, service: &Service, client_markup: Option<Percent>) -> Result<Rate, PriceError> {
        if let Some(fixed) = service.fixed_rate {
            return Ok(fixed.rounded_up(self.rules.rate_decimals));
        }
        let markup = Markup { percent: client_markup, fixed: None }.or(service.markup);
        pricing::listed_rate(service.cost, markup, self.rules.rate_decimals)
    }

    /// Whether it is for sale to such a client at all: its rate keeps the margin over its cost. Over a cost of 0 every
    /// margin is kept and every percentage is nothing: a list that says so is seldom meant, and nothing is given away
    /// by it. Who wants to, sets a price of 0.
    #[must_use]
    pub fn is_sold(&self, service: &Service, client_markup: Option<Percent>) -> bool {
        let Ok(rate) = self.rate(service, client_markup) else { return false };
        if rate.value().is_zero() && service.fixed_rate.is_none() {
            return false;
        }
        let Ok(charge) = rate.flat() else { return false };
        pricing::keeps_margin(charge, service.cost.value(), self.rules.min_margin).unwrap_or(false)
    }

    /// The price of an order at `rate`.
    ///
    /// # Errors
    /// [`PriceError`] where it does not fit a ledger.
    pub fn charge(rate: Rate, kind: ServiceType, params: &OrderParams) -> Result<Money, PriceError> {
        match kind.billing() {
            Billing::Flat => rate.flat(),
            _ => rate.for_units(params.units),
        }
        .map_err(|_| PriceError)
    }

    /// Whether forwarding an order that was charged `charge` by this offer keeps the minimum margin.
    #[must_use]
    pub fn keeps_margin(&self, charge: Money, offer: &Offer, kind: ServiceType, params: &OrderParams) -> bool {
        Self::cost(offer, kind, params)
            .and_then(|cost| pricing::keeps_margin(charge, cost, self.rules.min_margin))
            .unwrap_or(false)
    }

    /// What an order costs by this offer, in the panel's currency.
    ///
    /// # Errors
    /// [`PriceError`] on overflow.
    pub fn cost(offer: &Offer, kind: ServiceType, params: &OrderParams) -> Result<Decimal, PriceError> {
        match kind.billing() {
            Billing::Flat => Ok(offer.cost.value()),
            _ => offer
                .cost
                .value()
                .checked_mul(Decimal::from(params.units))
                .and_then(|cost| cost.checked_div(Decimal::ONE_THOUSAND))
                .ok_or(PriceError),
        }
    }
}
