//! Screening: two-level fractional factorial designs.
//!
//! With k factors and n = 2^b runs the first b factors are *basic*: their levels are all combinations. Each further factor
//! takes its level from the product of some basic ones, its *generator*. What is the same product is *aliased*: n runs cannot
//! tell it apart. The length of the shortest product that is constant over the runs is the *resolution*: at III a main effect
//! can be aliased with an interaction of two factors, at IV only such interactions with each other, at V neither. See Box,
//! Hunter and Hunter, *Statistics for Experimenters*, 2nd edition, Wiley 2005, chapter 6.

use std::collections::BTreeMap;

use crate::Diagnostic;

/// Beyond this many factors the search for generators takes too long.
const MAX_FACTORS: usize = 16;

/// A set of factors, one bit for each.
type Set = u32;

/// A fraction of all two-level combinations of some factors.
#[derive(Clone, Debug)]
pub(super) struct Fraction {
    /// How many of the factors are basic.
    basic: usize,
    /// Of each factor the basic ones whose product its level is; of a basic one itself.
    columns: Vec<Set>,
    /// The shortest constant product; `None` if the runs are all combinations.
    resolution: Option<u32>,
}

impl Fraction {
    /// A fraction of `runs` runs with the highest resolution that the search finds.
    pub(super) fn new(factors: usize, runs: usize) -> Result<Self, Diagnostic> {
        let least = (factors + 1).next_power_of_two().max(4);
        if !(2..=MAX_FACTORS).contains(&factors) {
            let problem = format!("a screen takes 2 to {MAX_FACTORS} factors, here are {factors}");
            return Err(
                Diagnostic::new(problem).help("a factor counts if two of its levels can be chosen")
            );
        }
        if !runs.is_power_of_two() || runs < least || runs > 1 << factors {
            let problem = format!("a screen of {factors} factors cannot have {runs} runs");
            let help = format!("choose a power of two from {least} to {}", 1_usize << factors);
            return Err(Diagnostic::new(problem).help(help));
        }
        let basic = runs.trailing_zeros() as usize;
        // The product of the most factors is not always best: E = ABCD rules out every good F.
        let searched = (2..=basic as u32).rev().map(|order| generators(factors, basic, order));
        let best = searched.min_by_key(|(_, lengths)| *lengths);
        let (generators, lengths) = best.unwrap_or((Vec::new(), Lengths::NONE));
        let columns = (0..basic).map(|factor| 1 << factor).chain(generators).collect();
        let resolution = (factors > basic).then_some(lengths.resolution());
        Ok(Self { basic, columns, resolution })
    }

    /// The runs; of each factor whether it has its second level.
    pub(super) fn runs(&self) -> impl Iterator<Item = Vec<bool>> {
        (0..1_u32 << self.basic).map(|run| {
            // A product of levels, -1 and 1, is -1 if an odd number of them is -1.
            let level = |column: &Set| (!run & column).count_ones().is_multiple_of(2);
            self.columns.iter().map(level).collect()
        })
    }

    /// The resolution in Roman numerals; `None` if nothing is aliased.
    pub(super) fn resolution(&self) -> Option<String> {
        self.resolution.map(roman)
    }

    /// Main effects that are aliased with interactions of two factors; if there are none, such interactions that are aliased
    /// with each other.
    pub(super) fn aliases(&self, names: &[&str]) -> Vec<String> {
        let mut pairs: BTreeMap<Set, Vec<String>> = BTreeMap::new();
        for (second, column) in self.columns.iter().enumerate() {
            for first in 0..second {
                let pair = format!("{} x {}", names[first], names[second]);
                pairs.entry(self.columns[first] ^ column).or_default().push(pair);
            }
        }
        let main = self.columns.iter().zip(names).filter_map(|(column, name)| {
            Some(format!("{name} = {}", pairs.get(column)?.join(" = ")))
        });
        let main: Vec<String> = main.collect();
        if !main.is_empty() {
            return main;
        }
        pairs.values().filter(|pairs| pairs.len() > 1).map(|pairs| pairs.join(" = ")).collect()
    }
}

/// How many constant products have which length, the shortest first; the smaller, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lengths([u16; MAX_FACTORS + 1]);

impl Lengths {
    const NONE: Self = Self([0; MAX_FACTORS + 1]);

    fn of(words: impl Iterator<Item = Set>) -> Self {
        let mut lengths = Self::NONE;
        for word in words {
            lengths.0[word.count_ones() as usize] += 1;
        }
        lengths
    }

    fn resolution(self) -> u32 {
        self.0.iter().position(|count| *count > 0).unwrap_or(0) as u32
    }
}

/// Generators of at most `order` basic factors, each the best beside those before it: the one with the fewest short constant
/// products, then the one of the most factors.
fn generators(factors: usize, basic: usize, order: u32) -> (Vec<Set>, Lengths) {
    let mut candidates: Vec<Set> =
        (1..1 << basic).filter(|set: &Set| (2..=order).contains(&set.count_ones())).collect();
    candidates.sort_by_key(|set| std::cmp::Reverse(set.count_ones()));
    let mut chosen: Vec<Set> = Vec::new();
    // All constant products, the empty one included.
    let mut words: Vec<Set> = vec![0];
    for factor in basic..factors {
        let with = |generator: Set| {
            let word = generator | 1 << factor;
            words.iter().copied().chain(words.iter().map(move |known| known ^ word))
        };
        let free = candidates.iter().filter(|candidate| !chosen.contains(candidate));
        let Some(best) =
            free.min_by_key(|generator| Lengths::of(with(**generator).filter(|word| *word != 0)))
        else {
            // There are too few products of so few factors; a higher order has them.
            return (Vec::new(), Lengths([u16::MAX; MAX_FACTORS + 1]));
        };
        let extended = with(*best).collect();
        chosen.push(*best);
        words = extended;
    }
    (chosen, Lengths::of(words.into_iter().filter(|word| *word != 0)))
}

fn roman(number: u32) -> String {
    let units = [(10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")];
    let mut rest = number;
    let mut numeral = String::new();
    for (value, letters) in units {
        while rest >= value {
            numeral.push_str(letters);
            rest -= value;
        }
    }
    numeral
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

    fn fraction(factors: usize, runs: usize) -> Fraction {
        Fraction::new(factors, runs).unwrap()
    }

    fn aliases(factors: usize, runs: usize) -> (Option<String>, Vec<String>) {
        let fraction = fraction(factors, runs);
        (fraction.resolution(), fraction.aliases(&NAMES[..factors]))
    }

    #[test]
    fn half_of_three_factors_has_c_as_the_product_of_a_and_b() {
        let runs: Vec<String> = fraction(3, 4)
            .runs()
            .map(|run| run.iter().map(|second| if *second { '+' } else { '-' }).collect())
            .collect();
        assert_eq!(runs, ["--+", "+--", "-+-", "+++"]);
        let expected = ["A = B x C", "B = A x C", "C = A x B"].map(str::to_owned).to_vec();
        assert_eq!(aliases(3, 4), (Some("III".to_owned()), expected));
    }

    #[test]
    fn half_of_four_factors_has_resolution_four_with_d_as_the_product_of_the_rest() {
        assert_eq!(fraction(4, 8).columns, [1, 2, 4, 7]);
        let expected = ["A x B = C x D", "A x C = B x D", "B x C = A x D"];
        assert_eq!(aliases(4, 8), (Some("IV".to_owned()), expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_saturated_design_of_seven_factors_aliases_each_with_three_interactions() {
        let (resolution, aliases) = aliases(7, 8);
        assert_eq!(resolution.as_deref(), Some("III"));
        assert_eq!(aliases.len(), 7);
        for (alias, name) in aliases.iter().zip(NAMES) {
            let mut sides = alias.split(" = ");
            assert_eq!(sides.next(), Some(name));
            // The three interactions share no factor and leave only the one that they are aliased with.
            let mut factors: Vec<&str> = sides.flat_map(|side| side.split(" x ")).collect();
            factors.push(name);
            factors.sort_unstable();
            assert_eq!(factors, &NAMES[..7]);
        }
    }

    /// Box, Hunter and Hunter's table of the fractions of highest resolution.
    #[test]
    fn the_resolution_is_the_highest_that_is_known() {
        for (factors, runs, resolution) in [
            (3, 4, "III"),
            (4, 8, "IV"),
            (5, 8, "III"),
            (6, 8, "III"),
            (7, 8, "III"),
            (5, 16, "V"),
            (6, 16, "IV"),
            (7, 16, "IV"),
            (8, 16, "IV"),
            (9, 16, "III"),
            (15, 16, "III"),
            (6, 32, "VI"),
            (7, 32, "IV"),
            (8, 32, "IV"),
            (9, 32, "IV"),
            (10, 32, "IV"),
            (11, 32, "IV"),
            (16, 32, "IV"),
            (7, 64, "VII"),
            (8, 64, "V"),
            (9, 64, "IV"),
        ] {
            let found = fraction(factors, runs).resolution();
            assert_eq!(found.as_deref(), Some(resolution), "{factors} factors, {runs} runs");
        }
    }

    #[test]
    fn every_level_of_every_factor_is_run_equally_often_and_beside_every_other_one() {
        for (factors, runs) in [(3, 4), (6, 8), (7, 16), (5, 32)] {
            let all: Vec<Vec<bool>> = fraction(factors, runs).runs().collect();
            assert_eq!(all.len(), runs);
            for first in 0..factors {
                for second in 0..first {
                    let both = all.iter().filter(|run| run[first] && run[second]).count();
                    assert_eq!(both, runs / 4, "{first} and {second} of {factors} in {runs}");
                }
            }
        }
    }

    #[test]
    fn all_combinations_alias_nothing() {
        assert_eq!(aliases(3, 8), (None, Vec::new()));
    }

    #[test]
    fn a_number_of_runs_that_makes_no_screen_is_told() {
        let rows = [
            (
                3,
                6,
                "a screen of 3 factors cannot have 6 runs\n  help: choose a power of two from 4 to 8",
            ),
            (
                4,
                4,
                "a screen of 4 factors cannot have 4 runs\n  help: choose a power of two from 8 to 16",
            ),
            (
                3,
                16,
                "a screen of 3 factors cannot have 16 runs\n  help: choose a power of two from 4 to 8",
            ),
            (
                1,
                2,
                "a screen takes 2 to 16 factors, here are 1\n  help: a factor counts if two of its levels can be chosen",
            ),
        ];
        for (factors, runs, expected) in rows {
            assert_eq!(Fraction::new(factors, runs).unwrap_err().to_string(), expected);
        }
    }
}
