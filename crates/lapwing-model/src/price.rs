//! What tokens cost.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::sync::LazyLock;

use lapwing_core::Usage;
use serde::{Deserialize, Serialize};

/// The table that comes with lapwing, read once. A test reads it too.
static TABLE: LazyLock<Option<Table>> =
    LazyLock::new(|| toml::from_str(include_str!("prices.toml")).ok());

/// An amount of money in 10⁻¹² US dollars, so that the price of any single token is a whole number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Usd(u64);

const PICO: f64 = 1e12;

impl Usd {
    /// `dollars`, rounded up.
    pub fn new(dollars: f64) -> Self {
        Self((dollars * PICO).ceil().max(0.0) as u64)
    }

    /// In dollars.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PICO
    }

    pub(crate) fn pico(self) -> u64 {
        self.0
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Usd {
    /// `$0.0042`, `$1.27`: two digits behind the point, four below a dollar.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.dollars();
        if dollars > 0.0 && dollars < 1.0 {
            write!(f, "${dollars:.4}")
        } else {
            write!(f, "${dollars:.2}")
        }
    }
}

/// Prices of one model in US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Of what is generated, reasoning included.
    pub output: f64,
    /// Of the part of the prompt that the provider had in its cache; as `input` if it is missing.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// Of the part of the prompt that it put into its cache; as `input` if it is missing.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

impl Price {
    /// What `usage` costs.
    pub fn cost(&self, usage: &Usage) -> Usd {
        let part = |tokens: u64, price: f64| {
            // A dollar for a million tokens is 10⁶ of our units a token.
            Usd(tokens.saturating_mul((price * PICO / 1e6).ceil() as u64))
        };
        part(usage.input, self.input)
            + part(usage.output, self.output)
            + part(usage.cache_read, self.cache_read.unwrap_or(self.input))
            + part(usage.cache_write, self.cache_write.unwrap_or(self.input))
    }

    /// The most that `usage` can cost, wherever the provider's cache has a part in it.
    pub fn worst(&self, usage: &Usage) -> Usd {
        let input = self.input.max(self.cache_write.unwrap_or(0.0));
        Self { input, cache_read: Some(input), cache_write: Some(input), ..*self }.cost(usage)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    list: Vec<List>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    provider: String,
    source: String,
    as_of: String,
    price: BTreeMap<String, Price>,
}

/// A price and where it was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The price.
    pub price: Price,
    /// The page that it is from, or what set it.
    pub source: String,
    /// The month of which it is known to be right; empty if it was set.
    pub as_of: String,
}

/// The price of the model `id` of `provider` in the table that comes with lapwing. A snapshot costs what its model costs.
pub fn listed(provider: &str, id: &str) -> Option<Listed> {
    let list = TABLE.as_ref()?.list.iter().find(|list| list.provider == provider)?;
    let price = list.price.get(id).or_else(|| list.price.get(without_date(id)))?;
    Some(Listed { price: *price, source: list.source.clone(), as_of: list.as_of.clone() })
}

/// The name without the date of a snapshot, `-20250929` or `-2025-04-14`.
fn without_date(id: &str) -> &str {
    let is_date = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let hyphens = text.bytes().filter(|byte| *byte == b'-').count();
        digits == 8 && (hyphens, text.len()) != (1, 9) && digits + hyphens == text.len()
    };
    [11, 9]
        .into_iter()
        .find_map(|length| {
            let (name, date) = id.split_at_checked(id.len().checked_sub(length)?)?;
            is_date(date.strip_prefix('-')?).then_some(name)
        })
        .unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_snapshots_cost_what_their_model_costs() {
        let price = listed("anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!((price.price.input, price.price.output), (3.0, 15.0));
        assert_eq!(listed("anthropic", "claude-sonnet-4-5-20250929"), Some(price));
        assert_eq!(listed("openai", "gpt-4.1-2025-04-14"), listed("openai", "gpt-4.1"));
        assert_eq!(listed("openai", "gpt-4.1-2025-04"), None);
        assert_eq!(listed("openai", "no-such-model"), None);
    }

    #[test]
    fn a_call_costs_the_sum_of_its_parts() {
        let price = listed("anthropic", "claude-sonnet-4-5").unwrap().price;
        let usage = Usage {
            input: 1000,
            output: 100,
            cache_read: 10_000,
            cache_write: 2000,
            reasoning: 50,
        };
        // 1000 x 3 + 100 x 15 + 10000 x 0.30 + 2000 x 3.75, in millionths of a dollar.
        assert_eq!(price.cost(&usage), Usd::new(0.015));
        assert_eq!(price.cost(&usage).to_string(), "$0.0150");
        assert!(price.worst(&usage) > price.cost(&usage));
    }
}
