//! The SPEC text that says which calls go wrong, and how.
//!
//! A SPEC is a comma-separated list of `fault[@action][(argument)][:amount]`. Without an action a fault concerns `add`
//! (or the one action that it makes sense for); `@any` is every action. An amount with a point is a probability
//! (`:0.1`), one without is a number of calls (`:3`, the next three); without an amount it is every call.
//! Example: `close-after:0.1,hang@add:0.05,error@add(Not enough funds on balance):3`.

use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::action::Action;
use super::fault::{Fault, known_names};
use super::random::Random;
use crate::domain::money::parse_decimal;

/// Why a SPEC could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// No such fault.
    #[error("unknown fault `{name}`; known are: {}", known_names())]
    Unknown {
        /// As it was written.
        name: String,
    },
    /// No such action.
    #[error("unknown action `{action}` after `{fault}@`; use any, {}", Action::ALL.map(Action::as_str).join(", "))]
    Action {
        /// The fault before it.
        fault: String,
        /// As it was written.
        action: String,
    },
    /// A fault that means something for one action only, with another.
    #[error("fault `{fault}` is for `{only}` alone; leave `@{action}` out")]
    WrongAction {
        /// The fault.
        fault: String,
        /// What it is for.
        only: Action,
        /// As it was written.
        action: String,
    },
    /// An argument that is missing, not understood, or too much.
    #[error("fault `{fault}` takes {expected}")]
    Argument {
        /// The fault.
        fault: String,
        /// What it takes.
        expected: &'static str,
    },
    /// What follows the colon is neither a probability nor a count.
    #[error(
        "`:{amount}` after fault `{fault}` is neither a probability (0.0 to 1.0) nor a number of calls (1 or more)"
    )]
    Amount {
        /// The fault.
        fault: String,
        /// As it was written.
        amount: String,
    },
    /// A parenthesis without its other half.
    #[error("a parenthesis in `{rule}` has no other half")]
    Parenthesis {
        /// As it was written.
        rule: String,
    },
    /// Text after a rule's end.
    #[error("`{rest}` in `{rule}` belongs to nothing; use fault[@action][(argument)][:amount]")]
    Trailing {
        /// As it was written.
        rule: String,
        /// What is too much.
        rest: String,
    },
}

/// How often a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Always,
    PerMillion(u32),
    Calls(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    fault: Fault,
    /// Nothing: any action.
    action: Option<Action>,
    amount: Amount,
}

/// The faults in force; none by default. Read from a SPEC by [`str::parse`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// Which faults this call meets, in the order of the SPEC; counts are used up.
    pub(super) fn meet(&mut self, action: Action, random: &mut Random) -> Vec<Fault> {
        let mut met = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| rule.action.is_none_or(|only| only == action)) {
            let applies = match &mut rule.amount {
                Amount::Always => true,
                Amount::PerMillion(chance) => random.chance(*chance),
                Amount::Calls(left) => {
                    let applies = *left > 0;
                    *left = left.saturating_sub(1);
                    applies
                }
            };
            if applies {
                met.push(rule.fault.clone());
            }
        }
        met
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(spec: &str) -> Result<Self, FaultsError> {
        let rules = rules_in(spec)?.into_iter().map(Rule::read).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }
}

/// The rules of a SPEC, cut at the commas that are outside parentheses.
fn rules_in(spec: &str) -> Result<Vec<&str>, FaultsError> {
    let mut depth = 0_u32;
    let mut begin = 0;
    let mut rules = Vec::new();
    for (at, letter) in spec.char_indices() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => {
                depth =
                    depth.checked_sub(1).ok_or_else(|| FaultsError::Parenthesis { rule: spec[begin..].to_owned() })?;
            }
            ',' if depth == 0 => {
                rules.push(&spec[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(FaultsError::Parenthesis { rule: spec[begin..].to_owned() });
    }
    rules.push(&spec[begin..]);
    Ok(rules.into_iter().map(str::trim).filter(|rule| !rule.is_empty()).collect())
}

impl Rule {
    fn read(text: &str) -> Result<Self, FaultsError> {
        let (name, mut rest) = text.split_at(text.find(['@', '(', ':']).unwrap_or(text.len()));
        let name = name.trim();
        let (mut action, mut argument, mut amount) = (None, None, Amount::Always);
        loop {
            if let Some(after) = rest.strip_prefix('@') {
                let (word, left) = after.split_at(after.find(['(', ':']).unwrap_or(after.len()));
                (action, rest) = (Some(word.trim()), left);
            } else if let Some(after) = rest.strip_prefix('(') {
                let (inside, left) = closed(after).ok_or_else(|| unbalanced(text))?;
                (argument, rest) = (Some(inside), left);
            } else if let Some(after) = rest.strip_prefix(':') {
                amount = Amount::read(name, after.trim())?;
                break;
            } else if rest.trim().is_empty() {
                break;
            } else {
                return Err(FaultsError::Trailing { rule: text.to_owned(), rest: rest.to_owned() });
            }
        }
        let fault = Fault::read(name, argument)?;
        let action = concerned(&fault, name, action)?;
        Ok(Self { fault, action, amount })
    }
}

/// Splits what follows an opening parenthesis at the one that closes it.
fn closed(after: &str) -> Option<(&str, &str)> {
    let mut depth = 1_u32;
    for (at, letter) in after.char_indices() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some((&after[..at], &after[at + 1..]));
        }
    }
    None
}

fn unbalanced(rule: &str) -> FaultsError {
    FaultsError::Parenthesis { rule: rule.to_owned() }
}

/// The action that a rule concerns; nothing for any.
fn concerned(fault: &Fault, name: &str, word: Option<&str>) -> Result<Option<Action>, FaultsError> {
    let only = fault.only_for();
    let Some(word) = word else {
        return Ok(Some(only.unwrap_or(Action::Add)));
    };
    let action = match word {
        "any" => None,
        word => Some(
            Action::parse(word)
                .ok_or_else(|| FaultsError::Action { fault: name.to_owned(), action: word.to_owned() })?,
        ),
    };
    match only {
        Some(only) if action != Some(only) => {
            Err(FaultsError::WrongAction { fault: name.to_owned(), only, action: word.to_owned() })
        }
        _ => Ok(action),
    }
}

impl Amount {
    fn read(fault: &str, text: &str) -> Result<Self, FaultsError> {
        let wrong = || FaultsError::Amount { fault: fault.to_owned(), amount: text.to_owned() };
        if !text.contains('.') {
            return text.parse().ok().filter(|calls| *calls > 0).map(Self::Calls).ok_or_else(wrong);
        }
        let share = parse_decimal(text).map_err(|_| wrong())?;
        if share.is_sign_negative() || share > Decimal::ONE {
            return Err(wrong());
        }
        let per_million = share.checked_mul(Decimal::from(1_000_000)).and_then(|chance| chance.to_u32());
        per_million.map(Self::PerMillion).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn met(spec: &str, action: Action, calls: usize) -> Vec<Vec<Fault>> {
        let mut faults: Faults = spec.parse().unwrap();
        let mut random = Random::new(1);
        (0..calls).map(|_| faults.meet(action, &mut random)).collect()
    }

    #[test]
    fn a_rule_names_a_fault_an_action_an_argument_and_an_amount() {
        let spec = "close-after:0.0, hang-before@any,error@status(Wait (or not), please: soon):2,slow(40)@balance:1.0";
        assert_eq!(met(spec, Action::Add, 1), [[Fault::HangBefore]]);
        let error = Fault::Error("Wait (or not), please: soon".into());
        assert_eq!(
            met(spec, Action::Status, 3),
            [vec![Fault::HangBefore, error.clone()], vec![Fault::HangBefore, error], vec![Fault::HangBefore]]
        );
        assert_eq!(met(spec, Action::Balance, 1), [[Fault::HangBefore, Fault::Slow(Duration::from_millis(40))]]);
        assert_eq!(met("", Action::Add, 1), [[]]);
    }

    #[test]
    fn a_fault_concerns_add_unless_it_makes_sense_elsewhere_only() {
        assert_eq!(met("empty,flip,services-short,wrong-currency", Action::Add, 1), [[Fault::Empty]]);
        assert_eq!(met("empty,flip,services-short", Action::Status, 1), [[Fault::Flip]]);
        assert_eq!(met("redirect(308)", Action::Add, 1), [[Fault::Redirect(308)]]);
        let status = Fault::ErrorStatus(422, "Bad link".into());
        assert_eq!(met("error-status(422, Bad link)", Action::Add, 1), [[status]]);
    }

    #[test]
    fn a_wrong_spec_says_what_is_wrong_with_it() {
        for (spec, message) in [
            ("explode", "unknown fault `explode`; known are: close-before, close-after"),
            ("hang@order", "unknown action `order` after `hang@`; use any, services, add"),
            ("flip@add", "fault `flip` is for `status` alone; leave `@add` out"),
            ("empty(x)", "fault `empty` takes no argument"),
            ("slow", "fault `slow` takes (MILLISECONDS)"),
            ("slow(soon)", "fault `slow` takes (MILLISECONDS)"),
            ("error-status(700,x)", "fault `error-status` takes (CODE,TEXT)"),
            ("hang:1.5", "`:1.5` after fault `hang` is neither"),
            ("hang:0", "`:0` after fault `hang` is neither"),
            ("hang:often", "`:often` after fault `hang` is neither"),
            ("error(x", "a parenthesis in `error(x` has no other half"),
            ("error)x", "a parenthesis in `error)x` has no other half"),
            ("error(x)y", "`y` in `error(x)y` belongs to nothing"),
        ] {
            let error = spec.parse::<Faults>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{spec}: {error}");
        }
    }
}
