//! Claims, decided on figures that were made up.

use std::collections::BTreeMap;

use lapwing_study::claim::{
    Bound, Claim, Condition, Figures, Gate, Kind, Quantity, Verdict, claims, gates,
};

/// One figure `s/x` for each seed.
fn figures(values: &[f64]) -> Figures {
    let one =
        |(seed, value): (usize, &f64)| (seed as u64, BTreeMap::from([("s/x".to_owned(), *value)]));
    values.iter().enumerate().map(one).collect()
}

fn condition(bound: Bound) -> Condition {
    Condition { of: Quantity::Figure("s/x".to_owned()), bound }
}

fn claim(kind: Kind) -> Claim {
    Claim {
        title: "x is high".to_owned(),
        paper: "it is".to_owned(),
        kind,
        primary: true,
        gates: vec!["open".to_owned()],
        same: vec![condition(Bound::AtLeast(0.5))],
        opposite: vec![condition(Bound::AtMost(0.5))],
        note: None,
    }
}

fn decided(claim: Claim, values: &[f64], gate: f64) -> Option<Verdict> {
    let open = Gate {
        about: "so that it can fail".to_owned(),
        condition: condition(Bound::AtLeast(gate)),
    };
    let figures = figures(values);
    let gates = gates(&BTreeMap::from([("open".to_owned(), open)]), &figures, 1000);
    let of = BTreeMap::from([("C".to_owned(), claim)]);
    claims(&of, &gates, &figures, 1000, values.len() >= 8).remove(0).verdict
}

const HIGH: [f64; 8] = [0.9, 0.8, 0.95, 0.9, 0.85, 0.7, 0.99, 0.9];
const LOW: [f64; 8] = [0.1, 0.2, 0.05, 0.1, 0.15, 0.3, 0.01, 0.1];
const MIXED: [f64; 8] = [0.9, 0.2, 0.95, 0.1, 0.85, 0.3, 0.99, 0.1];

#[test]
fn eight_seeds_on_one_side_decide_and_mixed_ones_do_not() {
    assert_eq!(decided(claim(Kind::Free), &HIGH, 0.0), Some(Verdict::SameDirection));
    assert_eq!(decided(claim(Kind::Free), &LOW, 0.0), Some(Verdict::Opposite));
    assert_eq!(decided(claim(Kind::Free), &MIXED, 0.0), Some(Verdict::Inconclusive));
}

#[test]
fn what_is_built_in_reads_only_that_the_instrument_works() {
    assert_eq!(decided(claim(Kind::ByConstruction), &HIGH, 0.0), Some(Verdict::InstrumentWorks));
    assert_eq!(decided(claim(Kind::ByConstruction), &LOW, 0.0), Some(Verdict::Inconclusive));
}

#[test]
fn a_gate_that_is_not_passed_makes_a_claim_untestable() {
    assert_eq!(decided(claim(Kind::Free), &HIGH, 0.95), Some(Verdict::Untestable));
}

#[test]
fn seven_seeds_have_no_verdict() {
    assert_eq!(decided(claim(Kind::Free), &HIGH[..7], 0.0), None);
}

#[test]
fn a_seed_without_a_number_decides_nothing() {
    let mut figures = figures(&HIGH);
    figures.insert(8, BTreeMap::new());
    let found = claims(
        &BTreeMap::from([("C".to_owned(), Claim { gates: vec![], ..claim(Kind::Free) })]),
        &[],
        &figures,
        1000,
        true,
    );
    assert_eq!(found[0].verdict, Some(Verdict::Inconclusive));
    assert_eq!(found[0].same[0].missing, 1);
}

#[test]
fn equivalence_needs_values_within_the_margin_and_not_only_their_mean() {
    let within = |values: &[f64]| {
        let equal = Claim {
            same: vec![condition(Bound::Within(0.1))],
            opposite: vec![],
            ..claim(Kind::Free)
        };
        decided(equal, values, -1.0)
    };
    let near = [0.01, -0.02, 0.03, 0.0, -0.01, 0.02, -0.03, 0.01];
    assert_eq!(within(&near), Some(Verdict::SameDirection));
    let wide = near.map(|value| value * 20.0);
    assert_eq!(within(&wide), Some(Verdict::Inconclusive));
}

#[test]
fn p_of_primary_claims_is_adjusted_for_their_number() {
    let one = claim(Kind::Free);
    let many: BTreeMap<String, Claim> =
        (0..7).map(|n| (n.to_string(), Claim { gates: vec![], ..one.clone() })).collect();
    let found = claims(&many, &[], &figures(&HIGH), 1000, true);
    // 2/256 times 7 is above 0.05, times 6 it is not.
    assert!(found.iter().all(|claim| claim.verdict == Some(Verdict::Inconclusive)));
    assert!((found[0].p.unwrap() - 7.0 * 2.0 / 256.0).abs() < 1e-12);
    let six: BTreeMap<String, Claim> = many.into_iter().take(6).collect();
    let found = claims(&six, &[], &figures(&HIGH), 1000, true);
    assert!(found.iter().all(|claim| claim.verdict == Some(Verdict::SameDirection)));
}

#[test]
fn a_ratio_to_nothing_is_no_number() {
    let none: Figures =
        BTreeMap::from([(0, BTreeMap::from([("s/x".to_owned(), 1.0), ("s/y".to_owned(), 0.0)]))]);
    let of = Quantity::Ratio("s/x".to_owned(), "s/y".to_owned());
    let found = Condition { of, bound: Bound::AtMost(0.2) }.decide(&none, 1000);
    assert_eq!((found.mean, found.missing), (None, 1));
}

#[test]
fn a_trend_is_the_rank_correlation_of_each_seed() {
    let rising = |value: f64| {
        BTreeMap::from([
            ("a/x".to_owned(), 0.1),
            ("b/x".to_owned(), value),
            ("c/x".to_owned(), 0.9),
        ])
    };
    let figures: Figures =
        (0..8).map(|seed| (seed, rising(if seed == 7 { 0.95 } else { 0.5 }))).collect();
    let of = Quantity::Trend(["a/x", "b/x", "c/x"].map(str::to_owned).to_vec());
    let found = Condition { of, bound: Bound::AtLeast(0.0) }.decide(&figures, 1000);
    let rho: Vec<f64> = found.values.iter().map(|(_, rho)| *rho).collect();
    assert_eq!(rho, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]);
    // By hand: 2 * (900 - 500) / sqrt(0.5 * 0.5 * (1000 * 5 - 3000 * 3000 / 3000)).
    let (seed, z) = found.deviates[0];
    assert_eq!(seed, 0);
    assert!((z - 800.0 / 500.0_f64.sqrt()).abs() < 1e-9, "{z}");
    assert_eq!(found.deviates.len(), 8);
}
