//! Intervals of one rate.

use lapwing_stats::{Interval, MIN_CLUSTERS, clopper_pearson, clustered, jeffreys, wilson};
use proptest::prelude::*;

/// `(k, n, level, [Wilson low, high, Clopper-Pearson low, high, Jeffreys low, high])`.
const INTERVALS: &[(u64, u64, f64, [f64; 6])] = &[
    (0, 1, 0.9, [0.0, 0.730134051216, 0.0, 0.95, 0.0, 0.771480186194]),
    (1, 1, 0.9, [0.269865948784, 1.0, 0.05, 1.0, 0.228519813806, 1.0]),
    (0, 20, 0.9, [0.0, 0.119157837361, 0.0, 0.139108340668, 0.0, 0.090476426538]),
    (
        1,
        20,
        0.9,
        [
            0.011234816851,
            0.196007236774,
            0.002561378777,
            0.216106164207,
            0.008869209312,
            0.179555420036,
        ],
    ),
    (
        5,
        10,
        0.9,
        [
            0.269271821138,
            0.730728178862,
            0.222441101008,
            0.777558898992,
            0.261922004046,
            0.738077995954,
        ],
    ),
    (
        7,
        100,
        0.9,
        [
            0.038394626807,
            0.124260113067,
            0.033311915618,
            0.127458015583,
            0.036841640796,
            0.121250818674,
        ],
    ),
    (100, 100, 0.9, [0.973657279217, 1.0, 0.970486950393, 1.0, 0.981023112297, 1.0]),
    (
        973,
        1000,
        0.9,
        [
            0.963208191573,
            0.980239270323,
            0.962956930626,
            0.980875108162,
            0.963530918297,
            0.980451940279,
        ],
    ),
    (
        12,
        100000,
        0.9,
        [
            0.000074965791,
            0.000192082419,
            0.000069243536,
            0.000194418458,
            0.00007305857,
            0.000188255524,
        ],
    ),
    (0, 1, 0.95, [0.0, 0.793450685623, 0.0, 0.975, 0.0, 0.85325368369]),
    (1, 1, 0.95, [0.206549314377, 1.0, 0.025, 1.0, 0.14674631631, 1.0]),
    (0, 20, 0.95, [0.0, 0.161125158053, 0.0, 0.168433470983, 0.0, 0.116638982905]),
    (
        1,
        20,
        0.95,
        [
            0.008881448801,
            0.236131193447,
            0.001265089498,
            0.248732762772,
            0.005449032581,
            0.210818636249,
        ],
    ),
    (
        5,
        10,
        0.95,
        [
            0.236593090513,
            0.763406909487,
            0.187086028447,
            0.812913971553,
            0.223528670253,
            0.776471329747,
        ],
    ),
    (
        7,
        100,
        0.95,
        [
            0.034319261067,
            0.137495147391,
            0.028605288907,
            0.138919728456,
            0.031854959069,
            0.132509223965,
        ],
    ),
    (100, 100, 0.95, [0.963006501793, 1.0, 0.963783307355, 1.0, 0.975254729985, 1.0]),
    (
        973,
        1000,
        0.95,
        [
            0.961001269247,
            0.981378617226,
            0.960958253194,
            0.982133094075,
            0.961546118338,
            0.981724649258,
        ],
    ),
    (
        12,
        100000,
        0.95,
        [
            0.000068648881,
            0.000209755013,
            0.000062007239,
            0.000209606458,
            0.000065600221,
            0.00020322338,
        ],
    ),
    (0, 1, 0.99, [0.0, 0.86902245672, 0.0, 0.995, 0.0, 0.948763454425]),
    (1, 1, 0.99, [0.13097754328, 1.0, 0.005, 1.0, 0.051236545575, 1.0]),
    (0, 20, 0.99, [0.0, 0.249105401099, 0.0, 0.232729500989, 0.0, 0.176754097437]),
    (
        1,
        20,
        0.99,
        [
            0.005897749075,
            0.318297111914,
            0.000250595687,
            0.317141734757,
            0.001814339161,
            0.277596462526,
        ],
    ),
    (
        5,
        10,
        0.99,
        [
            0.184225518247,
            0.815774481753,
            0.128310553935,
            0.871689446065,
            0.158236183556,
            0.841763816444,
        ],
    ),
    (
        7,
        100,
        0.99,
        [
            0.027715839994,
            0.165793951441,
            0.02078993033,
            0.162802855584,
            0.023504147933,
            0.15602983215,
        ],
    ),
    (100, 100, 0.99, [0.937779312284, 1.0, 0.948395970376, 1.0, 0.9614636671, 1.0]),
    (
        973,
        1000,
        0.99,
        [
            0.956359211699,
            0.983405546302,
            0.956862269463,
            0.984427115086,
            0.957476876446,
            0.98404735925,
        ],
    ),
    (
        12,
        100000,
        0.99,
        [
            0.000057978899,
            0.000248349742,
            0.000049432665,
            0.00024143475,
            0.000052599902,
            0.000234625415,
        ],
    ),
];

type Cluster = (u64, u64);

/// `(clusters, [rate, effective samples, low, high])` at level 0.95.
const CLUSTERED: &[(&[Cluster], [f64; 4])] = &[
    (
        &[(0, 4), (1, 4), (4, 4), (2, 4), (0, 4), (3, 4), (4, 4), (0, 4), (0, 4), (1, 4)],
        [0.375, 11.968085106383, 0.144856429921, 0.680022458018],
    ),
    (
        &[
            (1, 2),
            (0, 3),
            (5, 5),
            (0, 1),
            (2, 7),
            (0, 4),
            (1, 1),
            (3, 3),
            (0, 2),
            (0, 6),
            (2, 2),
            (1, 9),
        ],
        [0.333333333333, 13.509210825563, 0.131174390166, 0.623474103788],
    ),
    (
        &[
            (1, 5),
            (1, 5),
            (3, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
            (0, 5),
        ],
        [0.05, 24.106844741235, 0.009231454834, 0.229168252178],
    ),
];

/// `(n, coverage of Wilson's 95 % interval at p = 0.01, its mean over p = 0.001, 0.002 ... 0.999)`.
const COVERAGE: &[(u64, f64, f64)] = &[
    (20, 0.983140662, 0.953173983),
    (50, 0.910564687, 0.951728902),
    (100, 0.920626798, 0.951037797),
];

/// The rows are printed to twelve digits; the quantiles are iterated to about ten.
const TOLERANCE: f64 = 1e-9;

#[track_caller]
fn assert_near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < TOLERANCE, "{what}: got {got}, expected {expected}");
}

#[test]
fn intervals_equal_the_reference() {
    for &(k, n, level, ends) in INTERVALS {
        let methods = [wilson(k, n, level), clopper_pearson(k, n, level), jeffreys(k, n, level)];
        for (interval, ends) in methods.iter().zip(ends.chunks(2)) {
            assert_near(interval.low, ends[0], &format!("low end of {k}/{n} at {level}"));
            assert_near(interval.high, ends[1], &format!("high end of {k}/{n} at {level}"));
        }
    }
}

/// Wilson, Clopper-Pearson, Jeffreys at 95 %, to the four digits in which the literature prints them.
#[test]
fn intervals_equal_printed_vectors() {
    let printed: [(u64, u64, [f64; 6]); 6] = [
        (0, 100, [0.0, 0.0370, 0.0, 0.0362, 0.0, 0.0247]),
        (7, 100, [0.0343, 0.1375, 0.0286, 0.1389, 0.0319, 0.1325]),
        (12, 100, [0.0700, 0.1981, 0.0636, 0.2002, 0.0673, 0.1943]),
        (79, 100, [0.7002, 0.8583, 0.6971, 0.8651, 0.7026, 0.8609]),
        (5, 10, [0.2366, 0.7634, 0.1871, 0.8129, 0.2235, 0.7765]),
        (973, 1000, [0.9610, 0.9814, 0.9610, 0.9821, 0.9615, 0.9817]),
    ];
    for (k, n, expected) in printed {
        let methods = [wilson(k, n, 0.95), clopper_pearson(k, n, 0.95), jeffreys(k, n, 0.95)];
        let ends: Vec<f64> = methods.iter().flat_map(|i| [i.low, i.high]).collect();
        for (end, expected) in ends.iter().zip(expected) {
            assert!((end - expected).abs() <= 5e-5, "{k}/{n}: got {end}, printed {expected}");
        }
    }
}

#[test]
fn no_samples_say_nothing() {
    for method in [wilson, clopper_pearson, jeffreys] {
        assert_eq!(method(0, 0, 0.95), Interval::ALL);
    }
}

#[test]
#[should_panic(expected = "3 of 2 samples is no rate")]
fn more_hits_than_samples_are_a_bug_of_the_caller() {
    wilson(3, 2, 0.95);
}

#[test]
fn clustered_intervals_equal_the_reference() {
    for &(clusters, [rate, effective, low, high]) in CLUSTERED {
        let got = clustered(clusters, 0.95).unwrap();
        assert_near(got.rate, rate, "rate");
        assert_near(got.effective_samples, effective, "effective samples");
        assert_near(got.interval.low, low, "low end");
        assert_near(got.interval.high, high, "high end");
    }
}

/// Probabilities of 0 to `n` hits in `n` draws at rate `p`.
fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut mass = vec![1.0];
    for _ in 0..n {
        let one_more = mass.iter().map(|m| m * p);
        let as_many = mass.iter().map(|m| m * (1.0 - p));
        let zero = std::iter::once(0.0);
        mass = as_many.chain(zero.clone()).zip(zero.chain(one_more)).map(|(a, b)| a + b).collect();
    }
    mass
}

fn coverage(n: u64, p: f64, method: impl Fn(u64) -> Interval) -> f64 {
    let mass = binomial(n, p).into_iter().zip(0..);
    mass.filter(|&(_, k)| method(k).contains(p)).map(|(mass, _)| mass).sum()
}

#[test]
fn enumerated_coverage_of_wilson_equals_the_reference_and_is_nominal_on_average() {
    for &(n, at_one_percent, mean) in COVERAGE {
        let at = |p| coverage(n, p, |k| wilson(k, n, 0.95));
        assert_near(at(0.01), at_one_percent, "coverage at p = 0.01");
        let got = (1..1000).map(|i| at(f64::from(i) / 1000.0)).sum::<f64>() / 999.0;
        assert_near(got, mean, "mean coverage");
        assert!((0.945..0.96).contains(&got), "n = {n}: {got}");
    }
}

#[test]
fn coverage_of_clopper_pearson_is_never_below_nominal() {
    for n in [1, 10, 50] {
        for i in 1..200 {
            let p = f64::from(i) / 200.0;
            let got = coverage(n, p, |k| clopper_pearson(k, n, 0.95));
            assert!(got >= 0.95, "n = {n}, p = {p}: {got}");
        }
    }
}

/// 20 clusters of two samples, each cluster's own rate drawn from a Beta distribution, so that the samples of a
/// cluster correlate by `icc`. A cluster has 0, 1 or 2 hits; all numbers of such clusters are enumerated.
fn clustered_coverage(p: f64, icc: f64) -> (f64, f64) {
    let both = p * p + icc * p * (1.0 - p);
    let one = 2.0 * (p - both);
    let log = [(1.0 - both - one).ln(), one.ln(), both.ln()];
    let log_factorial = |n: u32| (1..=n).map(|i| f64::from(i).ln()).sum::<f64>();
    let (mut robust, mut naive) = (0.0, 0.0);
    for ones in 0..=20_u32 {
        for twos in 0..=20 - ones {
            let counts = [20 - ones - twos, ones, twos];
            let log_mass = counts.iter().zip(log).fold(log_factorial(20), |sum, (&n, log)| {
                sum - log_factorial(n) + f64::from(n) * log
            });
            let clusters: Vec<_> = counts
                .iter()
                .zip(0..)
                .flat_map(|(&count, hits)| (0..count).map(move |_| (hits, 2)))
                .collect();
            let hits = u64::from(ones + 2 * twos);
            if clustered(&clusters, 0.95).is_ok_and(|got| got.interval.contains(p)) {
                robust += log_mass.exp();
            }
            if wilson(hits, 40, 0.95).contains(p) {
                naive += log_mass.exp();
            }
        }
    }
    (robust, naive)
}

#[test]
fn correlated_samples_need_and_get_the_clustered_interval() {
    for p in [0.1, 0.3, 0.5, 0.8] {
        for icc in [0.2, 0.8] {
            let (robust, naive) = clustered_coverage(p, icc);
            assert!(robust >= 0.93, "p = {p}, icc = {icc}: {robust}");
            assert!(robust > naive, "p = {p}, icc = {icc}: {robust} against {naive}");
        }
    }
}

#[test]
fn too_few_clusters_are_refused_whatever_their_size() {
    let mut clusters = vec![(10, 100); MIN_CLUSTERS - 1];
    clusters.push((0, 0));
    let refused = clustered(&clusters, 0.95).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "an interval clustered by seed needs at least 10 seeds, got 9; run more seeds rather than more epochs"
    );
}

#[test]
fn clusters_that_agree_count_as_one_sample_each() {
    let got = clustered(&[(0, 50); 12], 0.95).unwrap();
    assert_near(got.effective_samples, 12.0, "effective samples");
    assert_near(got.design_effect(), 50.0, "design effect");
    assert!(got.interval.high > wilson(0, 12, 0.95).high);
}

#[test]
fn a_first_hit_does_not_make_a_rate_near_zero_look_certain() {
    let high = |hits: usize, size| {
        let of_cluster = |index| (u64::from(index < hits), size);
        let clusters: Vec<_> = (0..12).map(of_cluster).collect();
        clustered(&clusters, 0.95).unwrap().interval.high
    };
    for size in [2, 5, 50] {
        let (none, one) = (high(0, size), high(1, size));
        assert!(one > 0.9 * none, "clusters of {size}: {none} without, {one} with one hit");
    }
}

#[test]
fn clusters_that_are_all_alike_are_no_more_certain_than_their_samples() {
    let got = clustered(&[(1, 2); 10], 0.95).unwrap();
    assert_near(got.effective_samples, 20.0, "effective samples");
}

#[test]
fn rounding_makes_no_more_effective_samples_than_there_are() {
    let clusters = [(1, 4), (1, 3), (0, 1), (0, 2), (1, 2), (2, 3), (1, 1), (5, 7), (2, 4), (1, 5)];
    let clusters = [&clusters[..], &[(4, 5), (2, 5), (4, 7)]].concat();
    let got = clustered(&clusters, 0.95).unwrap();
    assert!(got.effective_samples <= 49.0, "{got:?}");
}

/// At least [`MIN_CLUSTERS`] clusters of one to eight samples.
fn clusters() -> impl Strategy<Value = Vec<Cluster>> {
    let cluster = (1_u64..=8).prop_flat_map(|n| (0..=n, Just(n)));
    prop::collection::vec(cluster, MIN_CLUSTERS..40)
}

proptest! {
    #[test]
    fn intervals_lie_in_the_unit_interval_and_contain_the_rate(
        n in 1_u64..3000, share in 0.0..=1.0_f64, level in 0.5..0.999_f64,
    ) {
        let k = (share * n as f64) as u64;
        for method in [wilson, clopper_pearson, jeffreys] {
            let got = method(k, n, level);
            prop_assert!(0.0 <= got.low && got.high <= 1.0, "{:?}", got);
            prop_assert!(got.contains(k as f64 / n as f64), "{:?}", got);
        }
    }

    #[test]
    fn intervals_of_hits_and_misses_mirror_each_other(n in 1_u64..3000, share in 0.0..=1.0_f64) {
        let k = (share * n as f64) as u64;
        for method in [wilson, clopper_pearson, jeffreys] {
            let (hits, misses) = (method(k, n, 0.95), method(n - k, n, 0.95));
            prop_assert!((hits.low - (1.0 - misses.high)).abs() < TOLERANCE);
        }
    }

    #[test]
    fn clustered_lies_in_the_unit_interval_and_contains_the_rate(clusters in clusters()) {
        let got = clustered(&clusters, 0.95).unwrap();
        prop_assert!(0.0 <= got.interval.low && got.interval.high <= 1.0);
        prop_assert!(got.interval.contains(got.rate));
        prop_assert!(got.design_effect() >= 1.0);
    }

    #[test]
    fn clusters_of_one_sample_give_nearly_wilson(outcomes in prop::collection::vec(0_u64..=1, 40..200)) {
        let clusters: Vec<_> = outcomes.iter().map(|&k| (k, 1)).collect();
        let got = clustered(&clusters, 0.95).unwrap().interval;
        let plain = wilson(outcomes.iter().sum(), outcomes.len() as u64, 0.95);
        prop_assert!(got.low <= plain.low && plain.high <= got.high);
        prop_assert!(plain.low - got.low < 0.01 && got.high - plain.high < 0.01);
    }

    #[test]
    fn repeating_every_sample_does_not_narrow(clusters in clusters(), times in 2_u64..5) {
        let repeated: Vec<_> = clusters.iter().map(|(k, n)| (k * times, n * times)).collect();
        let once = clustered(&clusters, 0.95).unwrap().interval;
        let often = clustered(&repeated, 0.95).unwrap().interval;
        prop_assert!(often.low <= once.low + TOLERANCE && once.high <= often.high + TOLERANCE);
    }
}
