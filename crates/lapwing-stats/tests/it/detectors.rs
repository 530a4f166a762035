//! Detectors: the area under the ROC, the curve, and its true-positive rate at a bounded price. Rows were printed by
//! `fixtures/detectors.py` (SciPy 1.17.1, scikit-learn 1.9.1).

use lapwing_stats::{Auroc, DataError, RocPoint, auroc, auroc_clustered, roc_curve, tpr_at_fpr};
use proptest::prelude::*;

fn assert_near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-9, "{what}: got {got}, expected {expected}");
}

fn long_positives() -> Vec<f64> {
    (0..40).map(|i| f64::from((i * 37) % 101) / 50.0 + 0.5).collect()
}

fn long_negatives() -> Vec<f64> {
    (0..60).map(|i| f64::from((i * 53) % 97) / 50.0).collect()
}

fn assert_area(got: Auroc, expected: [f64; 4]) {
    let Auroc { estimate, standard_error, interval, .. } = got;
    let got = [estimate, standard_error, interval.low, interval.high];
    for (got, expected) in got.into_iter().zip(expected) {
        assert_near(got, expected, "area, error, low and high");
    }
}

#[test]
fn areas_agree_with_the_reference() {
    // (positives, negatives, [area, DeLong's standard error, low, high])
    let reference: [(&[f64], &[f64], [f64; 4]); 4] = [
        (
            &[0.9, 0.8, 0.4, 0.7],
            &[0.1, 0.5, 0.3],
            [0.916666666667, 0.117851130198, 0.348441940905, 0.995599756454],
        ),
        (
            &[1.0, 1.0, 2.0, 3.0, 3.0],
            &[0.0, 1.0, 2.0, 2.0, -1.0, 0.0],
            [0.8, 0.136930639376, 0.427740673285, 0.955368782643],
        ),
        (
            &[-0.5, 0.25, 0.75],
            &[0.5, 1.0, 1.5, 0.3],
            [0.166666666667, 0.19245008973, 0.0130575699102, 0.751451346352],
        ),
        (
            &long_positives(),
            &long_negatives(),
            [0.749791666667, 0.0487164742283, 0.64303098731, 0.83291918957],
        ),
    ];
    for (positives, negatives, expected) in reference {
        assert_area(auroc(positives, negatives, 0.95).unwrap(), expected);
    }
}

type Cluster = (Vec<f64>, Vec<f64>);

#[test]
fn areas_over_clusters_agree_with_the_reference() {
    // ([(positives, negatives)], [area, Obuchowski's standard error, low, high])
    let reference: [(&[Cluster], [f64; 4]); 3] = [
        (
            &[
                (vec![3.5], vec![0.0]),
                (vec![8.5], vec![7.0]),
                (vec![13.5], vec![2.0]),
                (vec![6.5], vec![9.0]),
                (vec![11.5], vec![4.0]),
                (vec![4.5], vec![11.0]),
                (vec![9.5], vec![6.0]),
                (vec![14.5], vec![1.0]),
                (vec![7.5], vec![8.0]),
                (vec![12.5], vec![3.0]),
                (vec![5.5], vec![10.0]),
                (vec![10.5], vec![5.0]),
            ],
            [0.75, 0.128117685798, 0.400037615578, 0.931024418616],
        ),
        (
            &[
                (vec![0.5], vec![-2.0, 0.0, 1.0]),
                (vec![1.0, 3.5], vec![0.0]),
                (vec![2.0, 4.5], vec![1.0]),
                (vec![3.5], vec![1.0, 3.0, 4.0]),
                (vec![4.0, 6.5], vec![3.0]),
                (vec![5.0, 7.5], vec![4.0]),
                (vec![6.5], vec![4.0, 6.0, 7.0]),
                (vec![7.0, 9.5], vec![6.0]),
                (vec![8.0, 10.5], vec![7.0]),
                (vec![9.5], vec![7.0, 9.0, 10.0]),
            ],
            [0.644097222222, 0.0792534811235, 0.452914738178, 0.79823267283],
        ),
        (
            &[
                (vec![], vec![0.0, 0.0]),
                (vec![0.3], vec![]),
                (vec![], vec![0.4, 0.5]),
                (vec![0.9], vec![]),
                (vec![], vec![0.8, 1.0]),
                (vec![1.5], vec![]),
                (vec![], vec![1.2, 1.5]),
                (vec![2.1], vec![]),
                (vec![], vec![1.6, 2.0]),
                (vec![2.7], vec![]),
                (vec![], vec![2.0, 2.5]),
                (vec![3.3], vec![]),
                (vec![], vec![2.4, 3.0]),
                (vec![3.9], vec![]),
            ],
            [0.678571428571, 0.153117903338, 0.316609956896, 0.905836310986],
        ),
    ];
    for (clusters, expected) in reference {
        assert_area(auroc_clustered(clusters, 0.95).unwrap(), expected);
    }
}

#[test]
fn clusters_of_one_score_have_the_error_of_independent_scores() {
    let (positives, negatives) = (long_positives(), long_negatives());
    let clusters: Vec<Cluster> = positives
        .iter()
        .map(|score| (vec![*score], vec![]))
        .chain(negatives.iter().map(|score| (vec![], vec![*score])))
        .collect();
    let together = auroc_clustered(&clusters, 0.95).unwrap();
    let alone = auroc(&positives, &negatives, 0.95).unwrap();
    assert_near(together.standard_error, alone.standard_error, "standard error");
}

#[test]
fn an_area_of_scores_that_all_occur_twice_is_no_more_certain_than_of_half() {
    let cluster = |x: &f64, y: &f64, times: usize| (vec![*x; times], vec![*y; times]);
    let (positives, negatives) = (long_positives(), long_negatives());
    let clusters = |times: usize| -> Vec<Cluster> {
        positives.iter().zip(&negatives).map(|(x, y)| cluster(x, y, times)).collect()
    };
    let once = auroc_clustered(&clusters(1), 0.95).unwrap();
    let twice = auroc_clustered(&clusters(2), 0.95).unwrap();
    assert_near(twice.standard_error, once.standard_error, "standard error");
    assert_near(twice.interval.low, once.interval.low, "low end");
}

/// All of ten independent pairs in order have a rate of at least 0.025^(1/10) = 0.6915, by Clopper and Pearson.
#[test]
fn classes_that_are_wholly_apart_have_the_exact_bound_of_independent_pairs() {
    let low: Vec<f64> = (0..10).map(f64::from).collect();
    let high: Vec<f64> = (20..40).map(f64::from).collect();
    let apart = auroc(&high, &low, 0.95).unwrap();
    assert_area(apart, [1.0, 0.0, 0.691_502_891_8, 1.0]);
    let upside_down = auroc(&low, &high, 0.95).unwrap();
    assert_area(upside_down, [0.0, 0.0, 0.0, 0.308_497_108_2]);
    // Twenty clusters with both classes hold ten pairs of different clusters.
    let clusters: Vec<Cluster> = (0..20).map(|i| (vec![30.0], vec![f64::from(i)])).collect();
    assert_area(auroc_clustered(&clusters, 0.95).unwrap(), [1.0, 0.0, 0.691_502_891_8, 1.0]);
}

#[test]
fn curves_agree_with_the_reference() {
    // (positives, negatives, thresholds, false-positive rates, true-positive rates)
    type Row<'a> = (&'a [f64], &'a [f64], &'a [f64], &'a [f64], &'a [f64]);
    let reference: [Row<'_>; 3] = [
        (
            &[0.9, 0.8, 0.4, 0.7],
            &[0.1, 0.5, 0.3],
            &[0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.1],
            &[0.0, 0.0, 0.0, 0.333333333333, 0.333333333333, 0.666666666667, 1.0],
            &[0.25, 0.5, 0.75, 0.75, 1.0, 1.0, 1.0],
        ),
        (
            &[1.0, 1.0, 2.0, 3.0, 3.0],
            &[0.0, 1.0, 2.0, 2.0, -1.0, 0.0],
            &[3.0, 2.0, 1.0, 0.0, -1.0],
            &[0.0, 0.333333333333, 0.5, 0.833333333333, 1.0],
            &[0.4, 0.6, 1.0, 1.0, 1.0],
        ),
        (
            &[-0.5, 0.25, 0.75],
            &[0.5, 1.0, 1.5, 0.3],
            &[1.5, 1.0, 0.75, 0.5, 0.3, 0.25, -0.5],
            &[0.25, 0.5, 0.5, 0.75, 1.0, 1.0, 1.0],
            &[0.0, 0.0, 0.333333333333, 0.333333333333, 0.333333333333, 0.666666666667, 1.0],
        ),
    ];
    for (positives, negatives, thresholds, fprs, tprs) in reference {
        let curve = roc_curve(positives, negatives).unwrap();
        assert_eq!(curve[0], RocPoint { threshold: f64::INFINITY, fpr: 0.0, tpr: 0.0 });
        assert_eq!(curve.len(), thresholds.len() + 1);
        for (i, point) in curve[1..].iter().enumerate() {
            assert_near(point.threshold, thresholds[i], "threshold");
            assert_near(point.fpr, fprs[i], "false-positive rate");
            assert_near(point.tpr, tprs[i], "true-positive rate");
        }
    }
}

#[test]
fn rates_at_a_bounded_price_agree_with_the_reference() {
    // (positives, negatives, asked, [fpr, low, high, tpr, low, high])
    type Row<'a> = (&'a [f64], &'a [f64], f64, [f64; 6]);
    let reference: [Row<'_>; 5] = [
        (
            &[0.9, 0.8, 0.4, 0.7],
            &[0.1, 0.5, 0.3],
            0.01,
            [0.0, 0.0, 0.707598226179, 0.75, 0.194120449683, 0.99369053679],
        ),
        (
            &[1.0, 1.0, 2.0, 3.0, 3.0],
            &[0.0, 1.0, 2.0, 2.0, -1.0, 0.0],
            0.5,
            [0.5, 0.118117248757, 0.881882751243, 1.0, 0.478176249895, 1.0],
        ),
        (
            &long_positives(),
            &long_negatives(),
            0.05,
            [0.05, 0.0104323296443, 0.139243246721, 0.35, 0.206282490871, 0.516844453649],
        ),
        (
            &long_positives(),
            &long_negatives(),
            0.2,
            [0.2, 0.107841122524, 0.323300423801, 0.5, 0.338017813737, 0.661982186263],
        ),
        (
            &[-0.5, 0.25, 0.75],
            &[0.5, 1.0, 1.5, 0.3],
            1.0,
            [1.0, 0.397635364384, 1.0, 1.0, 0.292401773821, 1.0],
        ),
    ];
    for (positives, negatives, asked, expected) in reference {
        let got = tpr_at_fpr(positives, negatives, asked, 0.95).unwrap();
        let (price, caught) = (got.fpr_interval, got.tpr_interval);
        let got = [got.fpr, price.low, price.high, got.tpr, caught.low, caught.high];
        for (got, expected) in got.into_iter().zip(expected) {
            assert_near(got, expected, "fpr, low, high, tpr, low and high");
        }
    }
}

#[test]
fn the_number_of_negatives_says_which_price_can_be_spoken_of() {
    let at = |negatives: usize| {
        let negatives: Vec<f64> = (0..negatives).map(|i| i as f64).collect();
        tpr_at_fpr(&[1e6, -1.0], &negatives, 0.01, 0.95).unwrap()
    };
    assert_eq!((at(1000).resolved(), at(999).resolved()), (true, false));
    assert!((at(200).resolution() - 0.005).abs() < 1e-15);
    let few = at(50);
    assert_eq!((few.fpr, few.tpr, few.resolved()), (0.0, 0.5, false));
    assert!(few.fpr_interval.high > 0.05, "50 negatives do not prove 1 %");
}

#[test]
fn where_a_negative_scores_highest_nothing_is_caught_free_of_charge() {
    let got = tpr_at_fpr(&[1.0, 2.0], &[0.0, 2.0], 0.0, 0.95).unwrap();
    assert_eq!((got.threshold, got.tpr), (None, 0.0));
}

#[test]
fn scores_that_allow_no_area_are_refused_with_what_is_wrong() {
    let few = |what, got| Err(DataError::TooFew { what, least: 2, got });
    assert_eq!(auroc(&[], &[1.0, 2.0], 0.95), few("positives", 0));
    assert_eq!(auroc(&[1.0, 2.0], &[1.0], 0.95), few("negatives", 1));
    let same = auroc(&[0.5; 9], &[0.5; 9], 0.95);
    assert_eq!(same, Err(DataError::NoSpread { what: "scores" }));
    assert!(auroc(&[1.0, f64::NAN], &[0.0, 1.0], 0.95).is_err());
    let clusters = vec![(vec![1.0], vec![0.0]); 9];
    let refused = auroc_clustered(&clusters, 0.95);
    assert_eq!(refused, Err(DataError::TooFew { what: "clusters", least: 10, got: 9 }));
    let alike = vec![(vec![1.0], vec![0.0, 2.0]); 12];
    let refused = auroc_clustered(&alike, 0.95);
    assert_eq!(refused, Err(DataError::NoSpread { what: "clusters" }));
    assert!(roc_curve(&[], &[1.0]).is_err() && roc_curve(&[1.0], &[f64::NAN]).is_err());
    assert!(tpr_at_fpr(&[1.0], &[], 0.01, 0.95).is_err());
}

proptest! {
    #[test]
    fn only_the_order_of_scores_counts(
        positives in prop::collection::vec(-9_i32..12, 2..20),
        negatives in prop::collection::vec(-12_i32..9, 2..20),
    ) {
        let [x, y] = [positives, negatives].map(|list| -> Vec<f64> { list.into_iter().map(f64::from).collect() });
        let Ok(got) = auroc(&x, &y, 0.9) else { return Ok(()) };
        let stretched = |list: &[f64]| -> Vec<f64> { list.iter().map(|score| score.exp()).collect() };
        prop_assert_eq!(auroc(&stretched(&x), &stretched(&y), 0.9).unwrap(), got);
        prop_assert!(got.interval.contains(got.estimate));
        let turned = auroc(&y, &x, 0.9).unwrap();
        prop_assert!((turned.estimate + got.estimate - 1.0).abs() < 1e-12);
        prop_assert!((turned.interval.low + got.interval.high - 1.0).abs() < 1e-9);
        // The area is that under the curve, by trapezes.
        let curve = roc_curve(&x, &y).unwrap();
        let under: f64 = curve.windows(2).map(|p| (p[1].fpr - p[0].fpr) * (p[1].tpr + p[0].tpr) / 2.0).sum();
        prop_assert!((under - got.estimate).abs() < 1e-12);
    }
}
