//! What was spent, and the budget that is never exceeded.
//!
//! Before a call its worst case is set aside; after it what it really used is booked and the rest is free again. A call that does
//! not fit waits for those that are under way, and fails only when nothing is left to wait for.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use lapwing_core::Usage;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::price::{Price, Usd};

/// The most that a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Money.
    Usd(Usd),
    /// Tokens, read or written, cached or not.
    Tokens(u64),
}

/// Text that is no budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no budget; write 20usd, 0.50usd, 500ktok or 2Mtok")]
pub struct BudgetError(String);

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let fault = || BudgetError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let units = [("usd", 1.0), ("mtok", 1e6), ("ktok", 1e3), ("tok", 1.0), ("tokens", 1.0)];
        let (number, unit, factor) = units
            .into_iter()
            .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, unit, factor)))
            .ok_or_else(fault)?;
        let number: f64 = number.trim().parse().map_err(|_| fault())?;
        if !number.is_finite() || number <= 0.0 || number * factor > 1e15 {
            return Err(fault());
        }
        Ok(match unit {
            // Above what can be counted, nobody has a budget.
            "usd" if number > 1e6 => return Err(fault()),
            "usd" => Self::Usd(Usd::new(number)),
            _ => Self::Tokens((number * factor) as u64),
        })
    }
}

impl fmt::Display for Budget {
    /// The exact amount, `20usd` or `3000 tokens`, as it is read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usd(usd) => write!(f, "{}usd", usd.dollars()),
            Self::Tokens(tokens) => write!(f, "{tokens} tokens"),
        }
    }
}

/// What was spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Tokens that providers reported.
    pub usage: Usage,
    /// What all tokens cost, presumed ones included.
    pub cost: Usd,
    /// Tokens of attempts that were never reported on, counted at their worst case.
    pub presumed: u64,
    /// Tokens whose price is not known, so that they are not in `cost`.
    pub unpriced: u64,
    /// Answers of earlier runs, which cost nothing.
    pub n_kept: u64,
}

impl Spent {
    /// All tokens.
    pub fn tokens(&self) -> u64 {
        self.usage.total() + self.presumed
    }
}

/// The books of one run. All its models share them.
#[derive(Debug, Default)]
pub struct Ledger {
    budget: Option<Budget>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    spent: Spent,
    /// Set aside, in the budget's unit.
    reserved: u64,
    n_reserved: usize,
    refused: bool,
}

/// The budget does not hold another call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpaid {
    #[error("the budget of {budget} does not hold another call of up to {worst}; {spent} is spent")]
    Exhausted { budget: Budget, worst: Budget, spent: Budget },
    #[error("with a budget a call needs a limit of tokens; give --max-tokens")]
    Unlimited,
    #[error("with a budget in dollars a price is needed; set one in lapwing.toml")]
    Unpriced,
}

/// A worst case that is set aside.
pub(crate) struct Reservation<'l> {
    ledger: &'l Ledger,
    price: Option<Price>,
    worst: Option<Usage>,
    amount: u64,
    is_open: bool,
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    /// Nothing can have been billed.
    Nothing,
    /// What the provider reports.
    Reported(Usage),
    /// Perhaps all that was set aside.
    Unknown,
}

impl Ledger {
    /// Books with or without a budget.
    pub fn new(budget: Option<Budget>) -> Self {
        Self { budget, ..Self::default() }
    }

    /// The budget.
    pub fn budget(&self) -> Option<Budget> {
        self.budget
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.lock().spent
    }

    /// Whether a call was refused because it did not fit.
    pub fn is_exhausted(&self) -> bool {
        self.lock().refused
    }

    /// The share of the budget that is spent, from 0 to 1; 0 without a budget.
    pub fn share(&self) -> f64 {
        let spent = self.spent();
        self.budget.map_or(0.0, |budget| spent_in(budget, &spent) as f64 / amount(budget) as f64)
    }

    /// Books what was spent before these books were opened: what was reported, and what is presumed where nobody reported.
    pub fn carry(&self, reported: Usage, presumed: Usage, price: Option<Price>) {
        let mut state = self.lock();
        state.spent.usage = state.spent.usage + reported;
        state.spent.presumed += presumed.total();
        match price {
            Some(price) => {
                state.spent.cost += price.cost(&reported);
                state.spent.cost += price.worst(&presumed);
            }
            None => state.spent.unpriced += reported.total() + presumed.total(),
        }
    }

    /// Counts an answer that was not asked for, because it was kept.
    pub(crate) fn note_kept(&self) {
        self.lock().spent.n_kept += 1;
    }

    /// Sets the worst case of a call aside.
    pub(crate) async fn reserve(
        &self,
        worst: Option<Usage>,
        price: Option<Price>,
    ) -> Result<Reservation<'_>, Unpaid> {
        let Some(budget) = self.budget else {
            return Ok(Reservation { ledger: self, price, worst, amount: 0, is_open: true });
        };
        let bound = worst.ok_or(Unpaid::Unlimited)?;
        let wanted = match (budget, price) {
            (Budget::Tokens(_), _) => bound.total(),
            (Budget::Usd(_), Some(price)) => price.worst(&bound).pico(),
            (Budget::Usd(_), None) => return Err(Unpaid::Unpriced),
        };
        loop {
            let settled = self.settled.notified();
            {
                let mut state = self.lock();
                let spent = spent_in(budget, &state.spent);
                let held = spent.saturating_add(state.reserved);
                if held.saturating_add(wanted) <= amount(budget) {
                    state.reserved += wanted;
                    state.n_reserved += 1;
                    let worst = Some(bound);
                    let amount = wanted;
                    return Ok(Reservation { ledger: self, price, worst, amount, is_open: true });
                }
                if state.n_reserved == 0 {
                    state.refused = true;
                    let (worst, spent) = (in_unit(budget, wanted), in_unit(budget, spent));
                    return Err(Unpaid::Exhausted { budget, worst, spent });
                }
            }
            settled.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation<'_> {
    /// Books what was used, and returns what is presumed where nobody reports.
    pub(crate) fn settle(mut self, used: Used) -> Option<Usage> {
        self.book(used)
    }

    fn book(&mut self, used: Used) -> Option<Usage> {
        self.is_open = false;
        let presumed = match used {
            Used::Unknown => self.worst,
            Used::Nothing | Used::Reported(_) => None,
        };
        let mut state = self.ledger.lock();
        if self.ledger.budget.is_some() {
            state.reserved -= self.amount;
            state.n_reserved -= 1;
        }
        let usage = match used {
            Used::Nothing => Usage::default(),
            Used::Reported(usage) => {
                state.spent.usage = state.spent.usage + usage;
                usage
            }
            Used::Unknown => {
                state.spent.presumed += presumed.unwrap_or_default().total();
                presumed.unwrap_or_default()
            }
        };
        match (self.price, used) {
            (Some(price), Used::Unknown) => state.spent.cost += price.worst(&usage),
            (Some(price), Used::Nothing | Used::Reported(_)) => {
                state.spent.cost += price.cost(&usage);
            }
            (None, _) => state.spent.unpriced += usage.total(),
        }
        drop(state);
        self.ledger.settled.notify_waiters();
        presumed
    }
}

impl Drop for Reservation<'_> {
    /// A call that is given up in its middle may be billed.
    fn drop(&mut self) {
        if self.is_open {
            self.book(Used::Unknown);
        }
    }
}

fn amount(budget: Budget) -> u64 {
    match budget {
        Budget::Usd(usd) => usd.pico(),
        Budget::Tokens(tokens) => tokens,
    }
}

fn in_unit(budget: Budget, amount: u64) -> Budget {
    match budget {
        Budget::Usd(_) => Budget::Usd(Usd::new(amount as f64 / 1e12)),
        Budget::Tokens(_) => Budget::Tokens(amount),
    }
}

fn spent_in(budget: Budget, spent: &Spent) -> u64 {
    match budget {
        Budget::Usd(_) => spent.cost.pico(),
        Budget::Tokens(_) => spent.tokens(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, ..Usage::default() }
    }

    const PRICE: Price = Price { input: 1.0, output: 2.0, cache_read: None, cache_write: None };

    #[test]
    fn budgets_are_read_in_dollars_and_tokens() {
        assert_eq!("20usd".parse(), Ok(Budget::Usd(Usd::new(20.0))));
        assert_eq!("0.5 USD".parse(), Ok(Budget::Usd(Usd::new(0.5))));
        assert_eq!("2Mtok".parse(), Ok(Budget::Tokens(2_000_000)));
        assert_eq!("1.5ktok".parse(), Ok(Budget::Tokens(1500)));
        for text in ["20usd", "1.2799usd", "0.005usd", "1500 tokens"] {
            assert_eq!(
                text.parse::<Budget>().map(|budget| budget.to_string()).as_deref(),
                Ok(text)
            );
        }
        for text in ["20", "usd", "-1usd", "0tok", "nanusd", "1e99usd", "20 eur"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_call_that_does_not_fit_waits_for_what_is_under_way_and_then_fails() {
        let ledger = Ledger::new(Some(Budget::Tokens(100)));
        let first = ledger.reserve(Some(usage(30, 40)), None).await.unwrap();
        let (second, presumed) = tokio::join!(ledger.reserve(Some(usage(30, 40)), None), async {
            tokio::task::yield_now().await;
            first.settle(Used::Reported(usage(20, 5)))
        });
        assert_eq!(presumed, None);
        drop(second.unwrap());
        assert_eq!((ledger.spent().usage.total(), ledger.spent().presumed), (25, 70));
        let refused = ledger.reserve(Some(usage(6, 0)), None).await.err();
        let tokens = Budget::Tokens;
        let (budget, worst, spent) = (tokens(100), tokens(6), tokens(95));
        assert_eq!(refused, Some(Unpaid::Exhausted { budget, worst, spent }));
        assert!(ledger.is_exhausted());
        assert!(ledger.reserve(Some(usage(5, 0)), None).await.is_ok());
    }

    #[tokio::test]
    async fn money_is_booked_by_price_and_needs_one() {
        let ledger = Ledger::new(Some(Budget::Usd(Usd::new(1.0))));
        let million = usage(0, 500_001);
        assert!(ledger.reserve(Some(million), Some(PRICE)).await.is_err());
        let call = ledger.reserve(Some(usage(0, 500_000)), Some(PRICE)).await.unwrap();
        call.settle(Used::Reported(usage(0, 250_000)));
        assert_eq!(ledger.spent().cost, Usd::new(0.5));
        assert_eq!(ledger.reserve(Some(million), None).await.err(), Some(Unpaid::Unpriced));
        assert_eq!(ledger.reserve(None, Some(PRICE)).await.err(), Some(Unpaid::Unlimited));
    }

    #[tokio::test]
    async fn what_was_spent_before_counts_against_the_budget() {
        let ledger = Ledger::new(Some(Budget::Usd(Usd::new(1.0))));
        ledger.carry(usage(500_000, 100_000), usage(100_000, 0), Some(PRICE));
        assert_eq!(ledger.spent().cost, Usd::new(0.8));
        assert!(ledger.reserve(Some(usage(200_001, 0)), Some(PRICE)).await.is_err());
        assert!(ledger.reserve(Some(usage(200_000, 0)), Some(PRICE)).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_budget_everything_is_booked_and_nothing_refused() {
        let ledger = Ledger::new(None);
        let call = ledger.reserve(None, None).await.unwrap();
        call.settle(Used::Reported(usage(3, 4)));
        assert_eq!((ledger.spent().tokens(), ledger.spent().unpriced), (7, 7));
    }
}
