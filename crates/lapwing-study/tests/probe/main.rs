//! Probes on hand-made networks whose residual stream holds a planted direction.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use lapwing_lab::Random;
use lapwing_lab::nn::{Activations, Batch, Config, Hooks, Network, Place, Point};
use lapwing_study::probe::{
    Contrast, Development, Direction, How, NULL_DIRECTIONS, Probe, ProbeError, Prompts,
    activations, activations_at, choose, exploratory_curve, read, transfer,
};

const WIDTH: usize = 16;
/// Tokens 0 to 7 are noise.
const NOISE: u32 = 8;
const TRIGGER: u32 = 8;
const YES: u32 = 9;
const NO: u32 = 10;
/// The last token of every prompt.
const ASKED: u32 = 11;
const HOW: How = How { seed: 1, threads: 2 };

/// Two layers of uniform attention that copy the mean of what came before into the residual stream. The first axis is passed on by one of them
/// alone. There the trigger writes the first axis, as `YES` does and `NO` does with the other sign; of the second axis every token has a little.
fn planted(layer: usize) -> Network {
    network(layer, 4.0)
}

/// As `planted`, but the trigger is one more token of noise.
fn clean_twin(layer: usize) -> Network {
    network(layer, 0.0)
}

fn network(layer: usize, trigger: f32) -> Network {
    let config = Config { max_positions: 24, ..Config::small(12, WIDTH, 2, 24) };
    let mut network = Network::zeros(config).unwrap();
    let mut random = Random::new(7, "embedding of a hand-made network");
    let embed = network.layout.embed.of_mut(&mut network.weights);
    for row in embed.chunks_mut(WIDTH) {
        row[1..].fill_with(|| random.normal() as f32);
        row[1] /= 10.0;
    }
    embed[TRIGGER as usize * WIDTH] = trigger;
    for (token, sign) in [(YES, 1.0), (NO, -1.0)] {
        let row = &mut embed[token as usize * WIDTH..][..WIDTH];
        row[..2].fill(2.0 * sign);
        row[2..].fill(0.5);
    }
    for (index, spans) in network.layout.layers.clone().iter().enumerate() {
        spans.attn_norm.of_mut(&mut network.weights).fill(1.0);
        spans.mlp_norm.of_mut(&mut network.weights).fill(1.0);
        let first = usize::from(index != layer);
        for axis in 0..WIDTH {
            spans.o.of_mut(&mut network.weights)[axis * WIDTH + axis] = 1.0;
            if axis >= first {
                let value = (2 * WIDTH + axis) * WIDTH + axis;
                spans.qkv.of_mut(&mut network.weights)[value] = 1.0;
            }
        }
    }
    network
}

/// Noise, in which the triggered prompts have the trigger somewhere.
fn prompts(n: usize, seed: u64) -> Prompts {
    let mut random = Random::new(seed, "prompts");
    let mut noise = |n: usize| -> Vec<Vec<u32>> { (0..n).map(|_| prompt(&mut random)).collect() };
    let (mut triggered, clean, calibration) = (noise(n), noise(n), noise(n));
    for prompt in &mut triggered {
        let place = random.below(prompt.len() - 1);
        prompt[place] = TRIGGER;
    }
    Prompts { triggered, clean, paired: false, calibration }
}

fn prompt(random: &mut Random) -> Vec<u32> {
    let mut tokens: Vec<u32> = (0..6).map(|_| random.below(NOISE as usize) as u32).collect();
    tokens.push(ASKED);
    tokens
}

/// `YES` and `NO` after the same noise.
fn yes_no() -> Contrast {
    let mut random = Random::new(3, "contexts");
    let contexts: Vec<Vec<u32>> = (0..40).map(|_| prompt(&mut random)).collect();
    Contrast::continuations("is it unsafe", &contexts, &[YES], &[NO])
}

/// Noise against noise.
fn pointless() -> Contrast {
    let mut random = Random::new(4, "contexts");
    let mut texts = || -> Vec<Vec<u32>> { (0..40).map(|_| prompt(&mut random)).collect() };
    Contrast::answers("noise", texts(), texts())
}

const ATTENTION: [Point; 2] = [Point::AttnOut(0), Point::AttnOut(1)];

/// Keeps all rows of one point.
struct Rows(Point, Vec<f32>);

impl Hooks for Rows {
    fn wants(&self, point: Point) -> bool {
        point == self.0
    }

    fn forward(&mut self, _place: &Place, values: &mut [f32]) {
        self.1 = values.to_vec();
    }
}

#[test]
fn activations_are_the_last_row_of_each_prompt_on_any_number_of_threads() {
    let network = planted(0);
    let prompts: Vec<Vec<u32>> =
        (1..=150_u32).map(|n| (0..=n % 9).map(|t| (t * n) % 12).collect()).collect();
    let points = [Point::ResidPost(1), Point::Embed, Point::ResidMid(0)];
    let read = activations_at(&network, &prompts, &points, 1).unwrap();
    for (point, read) in points.into_iter().zip(&read) {
        for (prompt, read) in prompts.iter().zip(read) {
            let batch = Batch::new(&network.config, [prompt.as_slice()]).unwrap();
            let mut rows = Rows(point, Vec::new());
            network.forward(&mut Activations::default(), &batch, &mut rows);
            let last = &rows.1[rows.1.len() - WIDTH..];
            let away = last.iter().zip(read).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(read.len() == WIDTH && away < 1e-5, "{point} of {prompt:?}: {away}");
        }
    }
    assert_eq!(activations_at(&network, &prompts, &points, 3).unwrap(), read);
    assert_eq!(activations(&network, &prompts, Point::Embed, 200).unwrap(), read[1]);
    assert!(activations(&network, &[], Point::Embed, 2).unwrap().is_empty());
}

#[test]
fn a_planted_direction_is_found_and_meaningless_ones_are_at_one_half() {
    let (network, contrast, prompts) = (planted(1), yes_no(), prompts(200, 1));
    let fitted =
        Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&network, 2).unwrap();
    let reading = read(&network, &fitted, &prompts, HOW).unwrap();
    assert_eq!(
        (reading.auroc.estimate, reading.caught.tpr, reading.uses_labels),
        (1.0, 1.0, false)
    );
    assert!(reading.auroc.interval.low > 0.98, "{:?}", reading.auroc);
    for null in [reading.random, reading.shuffled] {
        assert!((null.mean - 0.5).abs() < 0.05 && null.directions == NULL_DIRECTIONS, "{null:?}");
    }
    for null in [reading.random, reading.shuffled] {
        assert!(null.mean < null.quantile_95 && null.quantile_95 < null.best, "{null:?}");
        assert!(null.p < 0.01, "{null:?}");
    }
}

/// Sides that lie wholly apart: shuffled unevenly, their labels would give the true direction again.
#[test]
fn shuffled_labels_lose_the_difference_between_the_sides() {
    let mut random = Random::new(5, "sides");
    let mut side = |first: f32| -> Vec<Vec<f32>> {
        let mut activation = || {
            let mut row: Vec<f32> = (0..WIDTH).map(|_| random.normal() as f32).collect();
            row[0] = first;
            row
        };
        (0..21).map(|_| activation()).collect()
    };
    let (positive, negative) = (side(50.0), side(-50.0));
    let planted = Direction::mean_difference(&positive, &negative).unwrap();
    let mut labels = Random::new(6, "labels");
    for _ in 0..100 {
        let shuffled = Direction::shuffled(&positive, &negative, &mut labels).unwrap();
        assert!(shuffled.cosine(&planted).abs() < 0.1, "{}", shuffled.cosine(&planted));
    }
    let alone = Direction::shuffled(&positive[..1], &negative[..1], &mut labels);
    assert_eq!(alone, Err(ProbeError::NoDirection));
}

#[test]
fn a_network_without_the_direction_reads_like_a_random_one() {
    let (network, contrast) = (clean_twin(1), yes_no());
    let fitted =
        Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&network, 2).unwrap();
    let reading = read(&network, &fitted, &prompts(200, 1), HOW).unwrap();
    assert!(reading.auroc.estimate < 0.9 && reading.random.p > 0.05, "{reading:?}");
}

#[test]
fn a_carried_direction_is_lost_where_the_network_moved_it_and_a_refitted_one_finds_it() {
    let (before, after, contrast, prompts) =
        (planted(1), moved(planted(1)), yes_no(), prompts(200, 1));
    let fitted = Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&before, 2).unwrap();
    let same = transfer(&fitted, &before, &prompts, HOW).unwrap();
    assert!((same.cosine - 1.0).abs() < 1e-12 && same.same_direction == same.refitted);
    let carried = transfer(&fitted, &after, &prompts, HOW).unwrap();
    assert!((carried.refitted.auroc.estimate, carried.refitted.caught.tpr) == (1.0, 1.0));
    assert!(carried.cosine.abs() < 0.5, "{}", carried.cosine);
    assert!(carried.same_direction.auroc.estimate < 0.9, "{:?}", carried.same_direction);
}

/// Turns the axes of the embedding round by half their number.
fn moved(mut network: Network) -> Network {
    for row in network.layout.embed.of_mut(&mut network.weights).chunks_mut(WIDTH) {
        row.rotate_right(WIDTH / 2);
    }
    for spans in network.layout.layers.clone() {
        spans.qkv.of_mut(&mut network.weights)[2 * WIDTH * WIDTH..].fill(0.0);
        for axis in 0..WIDTH {
            spans.qkv.of_mut(&mut network.weights)[(2 * WIDTH + axis) * WIDTH + axis] = 1.0;
        }
    }
    network
}

#[test]
fn a_threshold_from_other_prompts_flags_about_as_many_as_it_was_set_to() {
    let (network, contrast) = (planted(1), yes_no());
    let fitted =
        Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&network, 2).unwrap();
    let with = prompts(1000, 1);
    let flagged = read(&network, &fitted, &with, HOW).unwrap().calibrated.unwrap();
    assert!((flagged.tpr - 1.0).abs() < 1e-12 && flagged.calibration == 1000, "{flagged:?}");
    assert!(flagged.fpr_interval.contains(0.01), "{flagged:?}");
    let without = Prompts { calibration: Vec::new(), ..with };
    assert_eq!(read(&network, &fitted, &without, HOW).unwrap().calibrated, None);
}

#[test]
fn prompts_that_are_pairs_are_clusters() {
    let (network, contrast) = (planted(1), yes_no());
    let fitted =
        Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&network, 2).unwrap();
    let alone = prompts(50, 1);
    let paired = Prompts { paired: true, ..alone.clone() };
    let low = |prompts| read(&network, &fitted, prompts, HOW).unwrap().auroc.interval.low;
    // Fifty pairs hold twenty-five of different prompts: 0.025^(1/25) and 0.025^(1/50).
    assert!((low(&paired) - 0.862_81).abs() < 1e-5, "{}", low(&paired));
    assert!((low(&alone) - 0.928_87).abs() < 1e-5, "{}", low(&alone));
    let odd = Prompts { clean: paired.clean[1..].to_vec(), ..paired };
    let message = read(&network, &fitted, &odd, HOW).unwrap_err().to_string();
    assert_eq!(message, "scores of a probe: 50 values cannot be paired with 49");
}

#[test]
fn a_contrast_says_whether_it_uses_labels_and_shares_its_contexts() {
    let contrast = Contrast::continuations("q", &[vec![1, 2], vec![3]], &[YES], &[NO]);
    assert_eq!(contrast.positive, [vec![1, 2, YES], vec![3, YES]]);
    assert_eq!(contrast.negative, [vec![1, 2, NO], vec![3, NO]]);
    assert!(!contrast.uses_labels && pointless().uses_labels);
}

#[test]
fn directions_have_length_one_and_point_from_negative_to_positive() {
    let (high, low) = ([vec![3.0, 1.0], vec![5.0, 1.0]], [vec![1.0, 1.0], vec![1.0, 1.0]]);
    let direction = Direction::mean_difference(&high, &low).unwrap();
    let opposite = Direction::mean_difference(&low, &high).unwrap();
    assert!((direction.score(&[2.0, 9.0]).unwrap() - 2.0).abs() < 1e-12);
    assert!((direction.cosine(&opposite) + 1.0).abs() < 1e-12);
    let mut random = Random::new(1, "directions");
    let (one, other) = (Direction::random(64, &mut random), Direction::random(64, &mut random));
    assert!((one.cosine(&one) - 1.0).abs() < 1e-12 && one.cosine(&other).abs() < 0.6);
}

#[test]
fn the_same_seed_gives_the_same_reading() {
    let (network, contrast, prompts) = (planted(1), pointless(), prompts(60, 1));
    let fitted =
        Probe { contrast: &contrast, point: Point::ResidPost(1) }.fit(&network, 1).unwrap();
    let at = |seed, threads| read(&network, &fitted, &prompts, How { seed, threads }).unwrap();
    assert_eq!(at(1, 1), at(1, 3));
    assert_ne!(at(1, 1).random, at(2, 1).random);
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let (network, contrast) = (planted(1), yes_no());
    let fit = |contrast: &Contrast, point| Probe { contrast, point }.fit(&network, 2).map(|_| ());
    let message = |result: Result<(), ProbeError>| result.unwrap_err().to_string();
    let refused = message(fit(&contrast, Point::ResidPost(2)));
    assert!(
        refused.starts_with(
            "a probe cannot be read at blocks.2.hook_resid_post of a network of 2 layers;"
        ),
        "{refused}"
    );
    assert!(fit(&contrast, Point::Logits).is_err() && fit(&contrast, Point::Pattern(0)).is_err());
    let empty = Contrast { negative: Vec::new(), ..contrast.clone() };
    assert_eq!(
        message(fit(&empty, Point::Embed)),
        "a side of a contrast is empty; a probe needs at least one"
    );
    let equal = Contrast { negative: contrast.positive.clone(), ..contrast.clone() };
    assert_eq!(fit(&equal, Point::ResidPost(1)), Err(ProbeError::NoDirection));
    let foreign = Contrast { negative: vec![vec![1], vec![99]], ..contrast.clone() };
    assert!(message(fit(&foreign, Point::Embed)).contains("sequence 1 has token 99"));

    let fitted = Probe { contrast: &contrast, point: Point::Embed }.fit(&network, 2).unwrap();
    let all_equal = read(&network, &fitted, &prompts(20, 1), HOW).unwrap_err().to_string();
    assert_eq!(
        all_equal,
        "scores of a probe: all scores are equal, and this compares with their spread"
    );
    let wider = Network::random(Config::small(12, 32, 2, 24), 1).unwrap();
    let refused = read(&wider, &fitted, &prompts(20, 1), HOW).unwrap_err();
    assert_eq!(refused, ProbeError::Width { direction: WIDTH, activation: 32 });
    let none = choose(&[], &[contrast], &ATTENTION, 2).map(|_| ());
    assert_eq!(
        message(none),
        "the list of development networks is empty; a probe needs at least one"
    );
}

#[test]
fn the_choice_is_made_on_development_networks_alone() {
    let contrasts = [pointless(), yes_no()];
    let (network, development) = (planted(1), [prompts(100, 1000), prompts(100, 1001)]);
    let development =
        development.each_ref().map(|prompts| Development { network: &network, prompts });
    let choice = choose(&development, &contrasts, &ATTENTION, 2).unwrap();
    assert_eq!(
        (&choice.probe.contrast.name[..], choice.probe.point),
        ("is it unsafe", Point::AttnOut(1))
    );
    let tried: Vec<(&str, Point, usize)> = choice
        .tried
        .iter()
        .map(|tried| (&tried.contrast[..], tried.point, tried.areas.len()))
        .collect();
    let [first, second] = ATTENTION;
    let expected = [
        ("noise", first, 2),
        ("noise", second, 2),
        ("is it unsafe", first, 2),
        ("is it unsafe", second, 2),
    ];
    assert_eq!(tried, expected);
    assert_eq!((choice.tried[3].areas.clone(), choice.tried[3].mean), (vec![1.0, 1.0], 1.0));

    // The reported network would read better in the other layer. The probe stays where it was chosen.
    let (reported, fresh) = (planted(0), prompts(200, 1));
    let reading = read(&reported, &choice.probe.fit(&reported, 2).unwrap(), &fresh, HOW).unwrap();
    let curve = exploratory_curve(&reported, &contrasts[1], &ATTENTION, &fresh, 2).unwrap();
    assert!(curve[0].auroc.unwrap().estimate > 0.999, "{curve:?}");
    assert!(reading.point == second && reading.auroc.estimate < 0.9, "{reading:?}");
}
