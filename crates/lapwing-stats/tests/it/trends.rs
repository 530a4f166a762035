//! Trends and correlations. Rows were printed by `fixtures/seeds.py` (SciPy 1.17.1, statsmodels 0.15.0).

use lapwing_stats::{DataError, MOST_PERMUTED, cochran_armitage, spearman};
use proptest::prelude::*;

fn assert_near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-9, "{what}: got {got}, expected {expected}");
}

type Rung = (f64, u64, u64);

/// `([(score, hits, samples)], [z, two-sided p])`: the reference is the score test of a logistic regression.
const TRENDS: &[(&[Rung], [f64; 2])] = &[
    (
        &[(0.0, 10, 40), (1.0, 15, 40), (2.0, 22, 40), (3.0, 30, 40)],
        [4.74095008723, 2.12718337278e-06],
    ),
    (&[(1.0, 5, 10), (2.0, 5, 10), (4.0, 5, 10)], [0.0, 1.0]),
    (
        &[(0.03, 300, 300), (0.16, 280, 300), (0.81, 250, 300), (2.7, 210, 250)],
        [-5.73430038486, 9.79156655612e-09],
    ),
    (&[(-1.0, 3, 17), (0.0, 0, 4), (5.0, 1, 30)], [-1.52997311771, 0.126023383119]),
];

#[test]
fn trends_of_rates_agree_with_the_reference() {
    for &(rungs, [z, p]) in TRENDS {
        let got = cochran_armitage(rungs).unwrap();
        assert_near(got.z, z, &format!("z of {rungs:?}"));
        assert_near(got.p, p, &format!("p of {rungs:?}"));
    }
}

#[test]
fn a_trend_needs_two_different_scores_and_outcomes_that_differ() {
    let few = DataError::TooFew { what: "rungs with samples", least: 2, got: 1 };
    assert_eq!(cochran_armitage(&[(1.0, 3, 5), (2.0, 0, 0)]), Err(few));
    let equal = DataError::NoSpread { what: "scores" };
    assert_eq!(cochran_armitage(&[(1.0, 3, 5), (1.0, 0, 4)]), Err(equal));
    assert!(cochran_armitage(&[(1.0, 3, 5), (f64::NAN, 0, 4)]).is_err());
    let all = cochran_armitage(&[(1.0, 5, 5), (2.0, 4, 4)]).unwrap();
    assert_eq!((all.z, all.p), (0.0, 1.0));
}

/// `(x, y, [rho, two-sided p])`.
const SPEARMAN: &[(&[f64], &[f64], [f64; 2])] = &[
    (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0], [0.8, 0.133333333333]),
    (&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0], [-1.0, 0.333333333333]),
    (
        &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0],
        &[0.2, 0.1, 0.2, 0.5, 0.4, 0.4, 0.9, 0.7],
        [0.864263397068, 0.00952380952381],
    ),
    (
        &[3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0],
        &[2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0, 2.0],
        [0.209704982224, 0.579365079365],
    ),
    (
        &[0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0],
        &[0.0, 7.0, 3.0, 10.0, 6.0, 2.0, 9.0, 5.0, 1.0, 8.0, 4.0, 0.0, 7.0, 3.0, 10.0, 6.0],
        [0.213003216808, 0.428329757667],
    ),
    (
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 8.5, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0],
        [0.958041958042, 9.54358182684e-07],
    ),
];

#[test]
fn rank_correlations_agree_with_the_reference() {
    for &(x, y, [rho, p]) in SPEARMAN {
        let got = spearman(x, y).unwrap();
        assert_near(got.rho, rho, &format!("rho of {x:?}"));
        assert_near(got.p, p, &format!("p of {x:?}"));
        assert_eq!(got.exact, x.len() <= MOST_PERMUTED);
    }
}

#[test]
fn a_perfect_order_is_no_more_probable_than_all_orders_allow() {
    let x: Vec<f64> = (0..10).map(f64::from).collect();
    let got = spearman(&x, &x).unwrap();
    assert!((got.p / (2.0 / 3_628_800.0) - 1.0).abs() < 1e-9, "{}", got.p);
}

#[test]
fn lists_without_a_rank_correlation_are_refused() {
    assert_eq!(spearman(&[1.0], &[1.0, 2.0]), Err(DataError::Lengths { first: 1, second: 2 }));
    assert_eq!(spearman(&[], &[]), Err(DataError::TooFew { what: "pairs", least: 2, got: 0 }));
    assert_eq!(
        spearman(&[1.0, 2.0, 3.0], &[4.0; 3]),
        Err(DataError::NoSpread { what: "values of a list" })
    );
    assert!(spearman(&[1.0, 2.0, f64::NAN], &[1.0, 2.0, 3.0]).is_err());
}

proptest! {
    #[test]
    fn only_the_order_of_values_counts(values in prop::collection::vec((-9_i32..9, -9_i32..9), 3..14)) {
        let (x, y): (Vec<f64>, Vec<f64>) =
            values.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).unzip();
        let Ok(got) = spearman(&x, &y) else { return Ok(()) };
        let stretched: Vec<f64> = y.iter().map(|y| y.exp()).collect();
        prop_assert_eq!(spearman(&x, &stretched).unwrap(), got);
        let turned: Vec<f64> = y.iter().map(|y| -y).collect();
        let turned = spearman(&x, &turned).unwrap();
        prop_assert!((turned.rho + got.rho).abs() < 1e-12 && (turned.p - got.p).abs() < 1e-9);
    }
}
