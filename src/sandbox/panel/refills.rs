//! Refills: asked for, and asked about.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Panel, check_count, error, id_value};
use crate::sandbox::action::Params;

const REFILL_PENDING: Duration = Duration::from_secs(3);
const REFILL_TAKES: Duration = Duration::from_secs(10);

/// A refill of an order.
pub(super) struct Refill {
    pub(super) asked_at: Duration,
    /// The word that is answered instead of its own.
    pub(super) forced: Option<String>,
}

impl Refill {
    pub(super) fn word(&self, now: Duration) -> &str {
        match (&self.forced, now.saturating_sub(self.asked_at)) {
            (Some(word), _) => word,
            (None, age) if age < REFILL_PENDING => "Pending",
            (None, age) if age < REFILL_TAKES => "In progress",
            _ => "Completed",
        }
    }
}

pub(super) fn refill_index(id: &str) -> Option<usize> {
    id.trim().parse::<usize>().ok()?.checked_sub(1)
}

impl Panel {
    pub(super) fn refill(&mut self, params: &Params, now: Duration) -> Answer {
        let Some(ids) = params.list("orders") else {
            let refill = self.refill_one(params.get("order").unwrap_or_default(), now)?;
            return Ok(json!({ "refill": refill.to_string() }));
        };
        check_count(&ids)?;
        let answers = ids.into_iter().map(|id| {
            let refill = self.refill_one(id, now).map_or_else(|text| error(&text), Value::from);
            json!({ "order": id_value(id), "refill": refill })
        });
        Ok(Value::Array(answers.collect()))
    }

    /// Begins a refill; gives its ID.
    fn refill_one(&mut self, id: &str, now: Duration) -> Result<usize, String> {
        let index = self.find_or_error(id)?;
        let order = self.orders.get(index).ok_or("Incorrect order ID")?;
        if !self.service(order.placing.service).is_some_and(|service| service.refill) {
            return Err("Refill is disabled for this service".to_owned());
        }
        if !order.is_delivered(now) {
            return Err("The order is not completed".to_owned());
        }
        let last = self.last_refill.get(&index).and_then(|refill| self.refills.get(*refill));
        if last.is_some_and(|refill| matches!(refill.word(now), "Pending" | "In progress")) {
            return Err("The refill task is not completed for this order".to_owned());
        }
        self.last_refill.insert(index, self.refills.len());
        self.refills.push(Refill { asked_at: now, forced: None });
        Ok(self.refills.len())
    }

    pub(super) fn refill_status(&self, params: &Params, now: Duration) -> Answer {
        let show = |id: &str| {
            let refill = refill_index(id).and_then(|index| self.refills.get(index)).ok_or("Refill not found")?;
            Ok::<_, String>(Value::from(refill.word(now)))
        };
        let Some(ids) = params.list("refills") else {
            return Ok(json!({ "status": show(params.get("refill").unwrap_or_default())? }));
        };
        check_count(&ids)?;
        let answers = ids.into_iter().map(|id| {
            let status = show(id).unwrap_or_else(|text| error(&text));
            json!({ "refill": id_value(id), "status": status })
        });
        Ok(Value::Array(answers.collect()))
    }
}
