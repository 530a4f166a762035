//! What a handful of seeds can say: sign flips and equivalence. Rows were printed by `fixtures/seeds.py` (SciPy 1.17.1, statsmodels 0.15.0).

use lapwing_stats::{
    DataError, Equivalence, MOST_FLIPPED, sign_flip, sign_flip_interval, tost_paired, tost_rates,
    tost_sign_flip,
};
use proptest::prelude::*;

fn assert_near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-9, "{what}: got {got}, expected {expected}");
}

/// `(differences, two-sided p)`.
const SIGN_FLIPS: &[(&[f64], f64)] = &[
    (&[0.5, 0.25, 0.125, 1.0, 0.75, 0.3, 0.2, 0.9], 0.0078125),
    (&[0.01, -0.02, 0.005, 0.0, 0.012, -0.004, 0.001, 0.003], 0.84375),
    (&[1.0, -1.0, 2.0, -2.0, 0.0], 1.0),
    (&[3.0, 1.0, -1.0, 2.0, 2.0, 0.0, 4.0], 0.09375),
    (&[0.1, 0.2, 0.3, -0.6], 1.0),
    (&[2.0, -1.0, 3.0, 1.0, 5.0, -2.0, 4.0, 1.0, 0.0, 2.0, 3.0, -1.0], 0.0615234375),
];

#[test]
fn sign_flips_agree_with_the_reference() {
    for &(differences, p) in SIGN_FLIPS {
        assert_near(sign_flip(differences).unwrap().p, p, &format!("{differences:?}"));
    }
}

#[test]
fn eight_seeds_can_give_two_in_256_and_five_never_less_than_one_in_16() {
    let alike = |n: usize| sign_flip(&vec![0.3; n]).unwrap();
    for (n, least) in [(1, 1.0), (5, 0.0625), (8, 2.0 / 256.0), (MOST_FLIPPED, 2.0 / 1048576.0)] {
        assert_eq!((alike(n).p, alike(n).least_p), (least, least), "{n}");
    }
    assert_near(sign_flip(&[0.0; 8]).unwrap().p, 1.0, "differences of 0 say nothing");
}

/// `(level, differences, [low, high])`: the reference tried every value at which the p-value changes.
const SIGN_FLIP_INTERVALS: &[(f64, &[f64], [f64; 2])] = &[
    (0.95, &[0.5, 0.25, 0.125, 1.0, 0.75, 0.3, 0.2, 0.9], [0.208333333333, 0.825]),
    (0.9, &[0.01, -0.02, 0.005, 0.0, 0.012, -0.004, 0.001, 0.003], [-0.00575, 0.007]),
    (0.9, &[3.0, 1.0, -1.0, 2.0, 2.0, 0.0, 4.0], [0.333333333333, 3.0]),
    (0.5, &[0.1, 0.2, 0.3, -0.6], [-0.15, 0.2]),
];

#[test]
fn the_interval_holds_the_values_that_the_test_does_not_reject() {
    for &(level, differences, [low, high]) in SIGN_FLIP_INTERVALS {
        let got = sign_flip_interval(differences, level).unwrap();
        assert_near(got.low, low, "low end");
        assert_near(got.high, high, "high end");
    }
}

#[test]
fn an_interval_without_bounds_is_refused_with_the_highest_level_that_has_them() {
    let refused = sign_flip_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95);
    assert_eq!(refused, Err(DataError::LevelTooHigh { level: 0.95, highest: 0.9375, got: 5 }));
    let widest = sign_flip_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.9375).unwrap();
    assert_eq!((widest.low, widest.high), (1.0, 5.0));
}

/// `(margin, differences, [below, above by t, below, above by sign flips])`.
const EQUIVALENT_PAIRS: &[(f64, &[f64], [f64; 4])] = &[
    (
        0.02,
        &[0.01, -0.02, 0.005, 0.0, 0.012, -0.004, 0.001, 0.003],
        [0.000284511310379, 0.000476538459212, 0.0078125, 0.00390625],
    ),
    (
        0.5,
        &[0.5, 0.25, 0.125, 1.0, 0.75, 0.3, 0.2, 0.9],
        [3.42716328753e-05, 0.510029829661, 0.00390625, 0.53125],
    ),
    (2.5, &[1.0, -1.0, 2.0, -2.0, 0.0], [0.0120550552757, 0.0120550552757, 0.03125, 0.03125]),
    (
        0.1,
        &[3.0, 1.0, -1.0, 2.0, 2.0, 0.0, 4.0],
        [0.0210636272408, 0.967977527899, 0.0234375, 0.9609375],
    ),
];

#[test]
fn equivalence_of_pairs_agrees_with_the_reference() {
    for &(margin, differences, expected) in EQUIVALENT_PAIRS {
        let student = tost_paired(differences, margin).unwrap();
        let flips = tost_sign_flip(differences, margin).unwrap();
        let got = [student.below, student.above, flips.below, flips.above];
        for (got, expected) in got.into_iter().zip(expected) {
            assert_near(got, expected, &format!("{differences:?} within {margin}"));
        }
        assert_near(student.p(), expected[0].max(expected[1]), "the greater p-value");
    }
}

type Rate = (u64, u64);

/// `(first, second, margin, [below, above])`.
const EQUIVALENT_RATES: &[(Rate, Rate, f64, [f64; 2])] = &[
    ((480, 500), (478, 500), 0.05, [0.000514815286945, 7.15336489583e-05]),
    ((12, 100), (1, 100), 0.02, [0.996858874945, 0.000206198555604]),
    ((0, 400), (0, 400), 0.02, [0.00213736698009, 0.00213736698009]),
    ((300, 300), (296, 300), 0.03, [0.0452997674614, 0.000119703403259]),
    ((5, 10), (9, 10), 0.1, [0.00799715427713, 0.932814244956]),
    ((7, 1000), (11, 800), 0.01, [0.000650175505534, 0.262537951745]),
    ((1, 3), (2, 3), 0.5, [0.00921106272705, 0.318675944117]),
];

#[test]
fn equivalence_of_rates_agrees_with_the_reference() {
    for &(first, second, margin, [below, above]) in EQUIVALENT_RATES {
        let got = tost_rates(first, second, margin).unwrap();
        assert_near(got.below, below, &format!("{first:?} {second:?} below"));
        assert_near(got.above, above, &format!("{first:?} {second:?} above"));
    }
}

#[test]
fn seeds_that_all_stayed_at_one_rate_are_equivalent_by_sign_flips_alone() {
    let unchanged = [0.0; 8];
    assert_eq!(tost_paired(&unchanged, 0.02), Err(DataError::NoSpread { what: "differences" }));
    let got = tost_sign_flip(&unchanged, 0.02).unwrap();
    assert_eq!(got, Equivalence { estimate: 0.0, below: 1.0 / 256.0, above: 1.0 / 256.0 });
}

#[test]
fn data_that_allow_no_test_are_refused_with_what_is_wrong() {
    let nan = [0.1, f64::NAN, 0.2, 0.3, 0.4];
    let message = sign_flip(&nan).unwrap_err().to_string();
    assert_eq!(message, "differences: value 1 (counted from 0) is NaN; mend what made it");
    assert!(sign_flip_interval(&nan, 0.5).is_err() && tost_paired(&nan, 0.1).is_err());
    assert!(tost_sign_flip(&[f64::INFINITY], 0.1).is_err());
    let equal = DataError::NoSpread { what: "differences" };
    assert_eq!(sign_flip_interval(&[1.0; 8], 0.95), Err(equal));
    let none = DataError::TooFew { what: "differences", least: 1, got: 0 };
    assert_eq!(sign_flip(&[]), Err(none));
    assert_eq!(tost_sign_flip(&[], 0.1), Err(none));
    assert_eq!(sign_flip(&[1.0; 21]), Err(DataError::TooMany { most: 20, got: 21 }));
    let few = DataError::TooFew { what: "differences", least: 5, got: 4 };
    assert_eq!(tost_paired(&[1.0, 2.0, 3.0, 4.0], 0.1), Err(few));
    assert!(tost_rates((0, 0), (1, 2), 0.1).is_err());
}

proptest! {
    #[test]
    fn the_interval_and_the_test_agree(differences in prop::collection::vec(-20_i32..20, 5..10)) {
        // Whole numbers: the sums of the test and the means of the interval are then compared without rounding.
        let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
        let interval = sign_flip_interval(&differences, 0.9);
        prop_assume!(interval != Err(DataError::NoSpread { what: "differences" }));
        let interval = interval.unwrap();
        let p = sign_flip(&differences).unwrap().p;
        prop_assert_eq!(interval.contains(0.0), p > 0.1, "{:?} p {}", interval, p);
    }

    #[test]
    fn exchanging_the_sides_exchanges_the_ends(k1 in 0_u64..30, k2 in 0_u64..50, margin in 0.01..0.9) {
        let there = tost_rates((k1, 30), (k2, 50), margin).unwrap();
        let back = tost_rates((k2, 50), (k1, 30), margin).unwrap();
        prop_assert!((there.below - back.above).abs() < 1e-7, "{:?} {:?}", there, back);
        prop_assert!((0.0..=1.0).contains(&there.p()));
    }
}
