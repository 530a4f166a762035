//! Differences of two rates and of pairs, and tests of them.

use lapwing_stats::{
    FourWay, NoInterval, benjamini_hochberg, clopper_pearson, fisher, holm, independent, mcnemar,
    newcombe_paired, paired, paired_rates, wilson,
};
use proptest::prelude::*;

fn assert_near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-9, "{what}: got {got}, expected {expected}");
}

type Rate = (u64, u64);

/// `(first, second, [difference, Newcombe's low, high, Fisher's p])`.
const INDEPENDENT: &[(Rate, Rate, [f64; 4])] = &[
    ((12, 100), (1, 100), [-0.110000000000, -0.188553579932, -0.043070072100, 0.00253949745586]),
    ((79, 100), (7, 100), [-0.720000000000, -0.797096975109, -0.607663100686, 5.20919781306e-27]),
    ((5, 10), (9, 10), [0.400000000000, -0.002356109392, 0.675912153305, 0.140866873065]),
    ((0, 20), (0, 30), [0.000000000000, -0.161125158053, 0.113513393174, 1.0]),
    ((0, 8), (8, 8), [1.000000000000, 0.541218422005, 1.000000000000, 0.0001554001554]),
    ((48, 80), (56, 70), [0.200000000000, 0.052431472402, 0.333872654037, 0.0125211297492]),
    ((3, 1000), (9, 1200), [0.004500000000, -0.002285312778, 0.011478925513, 0.244430470674]),
    ((1, 1), (0, 1), [-1.000000000000, -1.000000000000, 0.122108720682, 1.0]),
    ((17, 50), (17, 50), [0.000000000000, -0.180394200664, 0.180394200664, 1.0]),
];

#[test]
fn independent_rates_differ_as_the_reference_says() {
    for &(first, second, [difference, low, high, p]) in INDEPENDENT {
        let side = |(k, n): Rate| (k as f64 / n as f64, wilson(k, n, 0.95));
        let got = independent(side(first), side(second));
        assert_near(got.estimate, difference, "difference");
        assert_near(got.interval.low, low, "low end");
        assert_near(got.interval.high, high, "high end");
        assert!((fisher(first, second) / p - 1.0).abs() < 1e-9, "{first:?} {second:?}");
    }
}

/// The rates of section 1 of Newcombe's first paper of 1998, in which the interval is printed to four digits.
#[test]
fn the_interval_of_independent_rates_equals_the_printed_one() {
    let side = |k: u64, n: u64| (k as f64 / n as f64, wilson(k, n, 0.95));
    let got = independent(side(48, 80), side(56, 70)).interval;
    assert!((got.low - 0.0524).abs() < 5e-5 && (got.high - 0.3339).abs() < 5e-5, "{got:?}");
}

/// `([both, first, second, neither], [difference, low, high, McNemar's p])`.
const PAIRS: &[([u64; 4], [f64; 4])] = &[
    ([14, 5, 0, 22], [-0.121951219512, -0.226492684351, -0.011483241383, 0.0625]),
    ([1, 1, 7, 12], [0.285714285714, 0.025559124165, 0.506920226686, 0.0703125]),
    ([36, 12, 2, 0], [-0.200000000000, -0.340427602975, -0.056929584003, 0.012939453125]),
    ([0, 0, 0, 9], [0.000000000000, -0.299145048420, 0.299145048420, 1.0]),
    ([7, 0, 0, 0], [0.000000000000, -0.354330435067, 0.354330435067, 1.0]),
    ([0, 6, 0, 0], [-1.000000000000, -1.000000000000, -0.447983956190, 0.03125]),
    ([2, 9, 8, 1], [-0.050000000000, -0.412262274061, 0.327126697511, 1.0]),
    ([400, 30, 71, 499], [0.041000000000, 0.021357397523, 0.060551409171, 5.53307058758e-05]),
];

fn four_way([both, first, second, neither]: [u64; 4]) -> FourWay {
    FourWay { both, first, second, neither }
}

#[test]
fn pairs_differ_as_the_reference_says() {
    for &(counts, [difference, low, high, p]) in PAIRS {
        let table = four_way(counts);
        let got = newcombe_paired(table, 0.95).unwrap();
        assert_near(got.estimate, difference, "difference");
        assert_near(got.interval.low, low, "low end");
        assert_near(got.interval.high, high, "high end");
        assert_near(mcnemar(table), p, "p");
    }
    assert_eq!(newcombe_paired(FourWay::default(), 0.95), None);
    assert_near(mcnemar(FourWay::default()), 1.0, "p without pairs");
}

/// Pairs whose outcomes correlate by `phi`, all tables of `n` pairs enumerated: how often the interval holds the difference.
fn paired_coverage(n: u64, p1: f64, p2: f64, phi: f64) -> f64 {
    let both = p1 * p2 + phi * (p1 * (1.0 - p1) * p2 * (1.0 - p2)).sqrt();
    let cells = [both, p1 - both, p2 - both, 1.0 - p1 - p2 + both];
    let log_factorial = |n: u64| (1..=n).map(|i| (i as f64).ln()).sum::<f64>();
    let mut covered = 0.0;
    for b in 0..=n {
        for f in 0..=n - b {
            for s in 0..=n - b - f {
                let counts = [b, f, s, n - b - f - s];
                let mass = counts.iter().zip(cells).fold(log_factorial(n), |sum, (&k, p)| {
                    sum - log_factorial(k) + if k == 0 { 0.0 } else { k as f64 * p.ln() }
                });
                let got = newcombe_paired(four_way(counts), 0.95).unwrap().interval;
                if got.contains(p2 - p1) {
                    covered += mass.exp();
                }
            }
        }
    }
    covered
}

#[test]
fn the_paired_interval_covers_nearly_as_often_as_it_says() {
    for (p1, p2, phi) in [(0.1, 0.1, 0.0), (0.3, 0.6, 0.3), (0.8, 0.7, 0.6), (0.5, 0.5, 0.8)] {
        let got = paired_coverage(24, p1, p2, phi);
        assert!((0.93..1.0).contains(&got), "{p1} {p2} {phi}: {got}");
    }
}

#[test]
fn the_price_of_several_tests_equals_the_reference() {
    let reference: [(&[f64], &[f64]); 4] = [
        (&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]),
        (&[0.9, 0.5, 0.5], &[1.0, 1.0, 1.0]),
        (&[0.02], &[0.02]),
        (&[1e-08, 0.2, 0.015, 0.016, 0.7], &[5e-08, 0.4, 0.06, 0.06, 0.7]),
    ];
    for (p_values, expected) in reference {
        for (got, expected) in holm(p_values).iter().zip(expected) {
            assert_near(*got, *expected, "adjusted p");
        }
    }
    assert!(holm(&[]).is_empty());
}

#[test]
fn the_expected_share_of_false_claims_equals_the_reference() {
    // By `fixtures/seeds.py`.
    let reference: [(&[f64], &[f64]); 4] = [
        (&[0.01, 0.04, 0.03, 0.005], &[0.02, 0.04, 0.04, 0.02]),
        (&[0.9, 0.5, 0.5], &[0.9, 0.75, 0.75]),
        (&[0.02], &[0.02]),
        (&[1e-08, 0.2, 0.015, 0.016, 0.7], &[5e-08, 0.25, 0.0266666666667, 0.0266666666667, 0.7]),
    ];
    for (p_values, expected) in reference {
        for (got, expected) in benjamini_hochberg(p_values).iter().zip(expected) {
            assert_near(*got, *expected, "adjusted p");
        }
    }
    assert!(benjamini_hochberg(&[]).is_empty());
}

#[test]
#[should_panic(expected = "a p-value lies between 0 and 1, got NaN")]
fn a_p_value_that_is_no_number_is_refused() {
    holm(&[0.1, f64::NAN]);
}

/// `(level, differences, [mean, low, high])`.
const PAIRED: &[(f64, &[f64], [f64; 3])] = &[
    (0.95, &[0.1, -0.2, 0.4, 0.3, 0.0], [0.12, -0.176443216507, 0.416443216507]),
    (0.9, &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, -1.0], [0.285714285714, -0.269480080147, 0.840908651576]),
    (
        0.95,
        &[12.5, 13.25, 11.75, 12.0, 14.5, 12.25, 13.0, 12.75, 12.5, 13.5],
        [12.8, 12.2232608242, 13.3767391758],
    ),
    (
        0.99,
        &[-0.0003, -0.0001, -0.0002, -0.00025, -0.00015, -0.0004],
        [-0.000233333333333, -0.000411134126419, -5.55325402476e-05],
    ),
];

#[test]
fn paired_differences_agree_with_the_reference() {
    for (level, differences, [mean, low, high]) in PAIRED {
        let got = paired(differences, *level).unwrap();
        let interval = got.interval.unwrap();
        assert_eq!(got.pairs, differences.len());
        for (got, expected) in [(got.mean, mean), (interval.low, low), (interval.high, high)] {
            assert!((got - expected).abs() < 1e-9, "{differences:?}: {got} is not {expected}");
        }
    }
}

#[test]
fn few_or_equal_differences_have_a_mean_and_no_interval() {
    assert_eq!(paired(&[], 0.95), None);
    let few = paired(&[1.0, 2.0, 3.0, 2.0], 0.95).unwrap();
    assert_eq!((few.mean, few.interval), (2.0, Err(NoInterval::TooFewPairs { pairs: 4 })));
    let equal = paired(&[0.1; 20], 0.95).unwrap();
    assert_eq!(equal.interval, Err(NoInterval::NoSpread));
}

#[test]
fn outcomes_that_all_differ_alike_have_the_exact_bound_of_such_pairs() {
    let interval =
        |all: f64, n: usize| paired_rates(&vec![all; n], 0.95).unwrap().interval.unwrap();
    for n in [5, 6, 12, 40] {
        let alike = clopper_pearson(n as u64, n as u64, 0.95).low;
        let none = clopper_pearson(0, n as u64, 0.9).high;
        let expected =
            [(1.0, 2.0 * alike - 1.0, 1.0), (0.0, -none, none), (-1.0, -1.0, 1.0 - 2.0 * alike)];
        for (all, low, high) in expected {
            let got = interval(all, n);
            assert!((got.low - low).abs() < 1e-12 && (got.high - high).abs() < 1e-12, "{all} {n}");
        }
    }
    let mixed = [1.0, 0.0, 1.0, 0.0, 1.0];
    assert_eq!(paired_rates(&mixed, 0.95), paired(&mixed, 0.95));
    let half = paired_rates(&[0.5; 9], 0.95).unwrap();
    assert_eq!(half.interval, Err(NoInterval::NoSpread));
}

proptest! {
    #[test]
    fn exchanging_the_sides_mirrors_the_difference(counts in prop::array::uniform4(0_u64..40)) {
        let [both, first, second, neither] = counts;
        prop_assume!(both + first + second + neither > 0);
        let there = newcombe_paired(four_way(counts), 0.95).unwrap();
        let back = newcombe_paired(four_way([both, second, first, neither]), 0.95).unwrap();
        prop_assert!((there.estimate + back.estimate).abs() < 1e-12);
        prop_assert!((there.interval.low + back.interval.high).abs() < 1e-9);
        prop_assert!(there.interval.contains(there.estimate));
        let (one, other) = ((both + first, 40), (both + second, 40));
        prop_assume!(one.0 <= 40 && other.0 <= 40);
        prop_assert!((fisher(one, other) - fisher(other, one)).abs() < 1e-9);
    }
}
