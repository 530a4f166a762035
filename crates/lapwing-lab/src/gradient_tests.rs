//! Every gradient against central finite differences, in double precision.

use std::ops::Range;

use crate::Random;
use crate::double::kernels::{self, Direction, Heads, Matrix, MatrixMut, Rotary, Store};
use crate::double::nn::{
    Activations, Batch, Config, Hooks, Lora, Network, NoHooks, Place, Point, Projection,
};

const EPSILON: f64 = 1e-5;
const HEADS: Heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim: 6 };

fn numbers(len: usize, name: &str) -> Vec<f64> {
    let mut random = Random::new(7, name);
    (0..len).map(|_| random.normal()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares the slope of `f` at `x` with `gradient`, along three random directions.
fn check(what: &str, x: &[f64], gradient: &[f64], mut f: impl FnMut(&[f64]) -> f64) {
    for direction in 0..3 {
        let direction = numbers(x.len(), &format!("{what} {direction}"));
        let mut at = |step: f64| {
            let moved: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
            f(&moved)
        };
        let slope = (at(EPSILON) - at(-EPSILON)) / (2.0 * EPSILON);
        let expected = dot(gradient, &direction);
        let error = (slope - expected).abs() / (slope.abs() + expected.abs() + 1e-4);
        assert!(error < 1e-6, "{what}: the slope is {slope}, the gradient says {expected}");
    }
}

#[test]
fn rms_norm_has_the_right_gradient() {
    let (x, w, pull) = (numbers(5 * 20, "x"), numbers(20, "w"), numbers(5 * 20, "pull"));
    let f = |x: &[f64], w: &[f64]| {
        let mut y = vec![0.0; x.len()];
        kernels::rms_norm(&mut y, x, w, 1e-3);
        dot(&y, &pull)
    };
    let (mut dx, mut d_w) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    kernels::rms_norm_backward(&mut dx, Some(&mut d_w), &pull, &x, &w, 1e-3);
    check("x", &x, &dx, |x| f(x, &w));
    check("w", &w, &d_w, |w| f(&x, w));
}

#[test]
fn head_norm_has_the_right_gradient_and_leaves_values_alone() {
    let x = numbers(3 * HEADS.row_width(), "x");
    let (q, k, pull) = (numbers(6, "q"), numbers(6, "k"), numbers(x.len(), "pull"));
    let f = |x: &[f64], q: &[f64], k: &[f64]| {
        let mut y = x.to_vec();
        kernels::head_norm(&mut y, q, k, HEADS, 1e-3);
        dot(&y, &pull)
    };
    let mut dx = pull.clone();
    let (mut d_q, mut d_k) = (vec![0.0; 6], vec![0.0; 6]);
    let norms = Some([&mut d_q[..], &mut d_k[..]]);
    kernels::head_norm_backward(&mut dx, norms, &x, [&q, &k], HEADS, 1e-3);
    check("x", &x, &dx, |x| f(x, &q, &k));
    check("q", &q, &d_q, |q| f(&x, q, &k));
    check("k", &k, &d_k, |k| f(&x, &q, k));
}

#[test]
fn rotation_has_the_right_gradient() {
    let table = Rotary::new(6, 10, 100.0, None);
    let x = numbers(3 * HEADS.row_width(), "x");
    let (pull, positions) = (numbers(x.len(), "pull"), [0, 3, 9]);
    let mut dx = pull.clone();
    kernels::rotate(&mut dx, &positions, &table, HEADS, Direction::Backward);
    check("x", &x, &dx, |x| {
        let mut y = x.to_vec();
        kernels::rotate(&mut y, &positions, &table, HEADS, Direction::Forward);
        dot(&y, &pull)
    });
}

#[test]
fn attention_has_the_right_gradient_within_and_across_blocks_and_sequences() {
    let starts = [0, 1, 4, 74];
    let qkv = numbers(74 * HEADS.row_width(), "qkv");
    let pull = numbers(74 * HEADS.q_width(), "pull");
    let mut log_sums = vec![0.0; 74 * HEADS.n_heads];
    let mut out = vec![0.0; pull.len()];
    kernels::attention(&mut out, &mut log_sums, &qkv, &starts, HEADS);
    let mut d_qkv = vec![f64::NAN; qkv.len()];
    kernels::attention_backward(&mut d_qkv, &pull, &out, &log_sums, &qkv, &starts, HEADS);
    check("qkv", &qkv, &d_qkv, |qkv| {
        kernels::attention(&mut out, &mut log_sums, qkv, &starts, HEADS);
        dot(&out, &pull)
    });
}

#[test]
fn attention_is_the_pattern_times_the_values() {
    let qkv = numbers(70 * HEADS.row_width(), "qkv");
    let mut out = vec![0.0; 70 * HEADS.q_width()];
    kernels::attention(&mut out, &mut [0.0; 70 * 4], &qkv, &[0, 70], HEADS);
    for head in 0..HEADS.n_heads {
        let mut pattern = vec![0.0; 70 * 70];
        kernels::attention_pattern(&mut pattern, &qkv, 0..70, head, HEADS);
        for (i, row) in pattern.chunks_exact(70).enumerate() {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(row[i + 1..].iter().all(|weight| *weight == 0.0));
        }
        let values = Matrix::new(&qkv, HEADS.row_width()).columns(HEADS.value(head));
        let mut expected = vec![0.0; 70 * HEADS.head_dim];
        kernels::multiply(
            MatrixMut::new(&mut expected, 6),
            Store::Write,
            Matrix::new(&pattern, 70),
            values,
        );
        for (row, expected) in out.chunks_exact(24).zip(expected.chunks_exact(6)) {
            let row = &row[HEADS.query(head)];
            assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}

#[test]
fn swiglu_has_the_right_gradient_and_yields_its_product_again() {
    let (x, pull) = (numbers(3 * 14, "x"), numbers(3 * 7, "pull"));
    let mut y = vec![0.0; pull.len()];
    kernels::swiglu(&mut y, &x, 7);
    let (mut dx, mut dy) = (vec![0.0; x.len()], pull.clone());
    kernels::swiglu_backward(&mut dx, &mut dy, &x, 7);
    assert_eq!(dy, y);
    check("x", &x, &dx, |x| {
        kernels::swiglu(&mut y, x, 7);
        dot(&y, &pull)
    });
}

#[test]
fn cross_entropy_has_the_right_gradient_and_ignores_rows_of_no_weight() {
    let (x, targets, weights) = (numbers(3 * 19, "x"), [4, 0, 18], [1.0, 0.0, 2.5]);
    let (mut dx, mut losses) = (x.clone(), [0.0; 3]);
    kernels::cross_entropy(&mut dx, &mut losses, &targets, &weights, 19);
    assert_eq!(dx[19..38], [0.0; 19]);
    check("x", &x, &dx, |x| {
        kernels::cross_entropy(&mut x.to_vec(), &mut losses, &targets, &weights, 19);
        losses.iter().sum()
    });
}

#[test]
fn the_divergence_from_a_reference_has_the_right_gradient() {
    let (x, reference, weights) = (numbers(2 * 19, "x"), numbers(2 * 19, "reference"), [1.0, 2.5]);
    let (mut dx, mut losses) = (x.clone(), [0.0; 2]);
    kernels::kl_divergence(&mut dx, &mut losses, &reference, &weights, 19);
    check("x", &x, &dx, |x| {
        kernels::kl_divergence(&mut x.to_vec(), &mut losses, &reference, &weights, 19);
        losses.iter().sum()
    });
    kernels::kl_divergence(&mut x.clone(), &mut losses, &x, &weights, 19);
    assert!(losses.iter().all(|loss| loss.abs() < 1e-12), "nothing diverges from itself");
}

#[test]
fn log_softmax_is_what_cross_entropy_reads() {
    let (x, mut losses) = (numbers(2 * 19, "x"), [0.0; 2]);
    kernels::cross_entropy(&mut x.clone(), &mut losses, &[4, 18], &[1.0; 2], 19);
    let mut logarithms = x.clone();
    kernels::log_softmax(&mut logarithms, 19);
    assert!(
        (logarithms[4] + losses[0]).abs() < 1e-12 && (logarithms[37] + losses[1]).abs() < 1e-12
    );
}

#[test]
fn embedding_and_bias_have_the_right_gradients() {
    let (table, pull, tokens) = (numbers(5 * 3, "table"), numbers(4 * 3, "pull"), [2, 2, 0, 4]);
    let (mut d_table, mut y) = (vec![0.0; 15], vec![0.0; 12]);
    kernels::embed_backward(&mut d_table, &pull, &tokens, 3);
    check("table", &table, &d_table, |table| {
        kernels::embed(&mut y, table, &tokens, 3);
        dot(&y, &pull)
    });
    let (bias, mut d_bias) = (numbers(3, "bias"), vec![0.0; 3]);
    kernels::bias_backward(&mut d_bias, &pull);
    check("bias", &bias, &d_bias, |bias| {
        let mut y = table[..12].to_vec();
        kernels::add_bias(&mut y, bias);
        dot(&y, &pull)
    });
}

fn small() -> Config {
    Config {
        n_heads: 4,
        n_kv_heads: 4,
        head_dim: 6,
        intermediate_size: 20,
        rms_norm_eps: 1e-3,
        ..Config::small(13, 24, 2, 80)
    }
}

/// A network whose norms and biases are not what they start as.
fn network(config: Config) -> Network {
    let mut network = Network::random(config, 3).unwrap();
    let noise = numbers(network.weights.len(), "noise");
    network.weights.iter_mut().zip(noise).for_each(|(weight, noise)| *weight += 0.1 * noise);
    network
}

fn batch(config: &Config) -> Batch {
    let mut random = Random::new(5, "tokens");
    let sequences =
        [70, 1, 9].map(|len| (0..len).map(|_| random.below(13) as u32).collect::<Vec<_>>());
    Batch::new(config, sequences.iter().map(Vec::as_slice)).unwrap()
}

/// The loss of `network`, and its gradient. Every third row is masked.
fn loss(network: &Network, hooks: &mut dyn Hooks) -> (f64, Vec<f64>) {
    let batch = batch(&network.config);
    let mut activations = Activations::default();
    let mut gradients = vec![0.0; network.trainable().len()];
    network.forward(&mut activations, &batch, hooks);
    let mut each = |rows: Range<usize>, logits: &mut [f64]| {
        let targets: Vec<u32> = rows.clone().map(|row| (row * 5 % 13) as u32).collect();
        let weights: Vec<f64> = rows.clone().map(|row| (row % 3) as f64 * 0.1).collect();
        let mut losses = vec![0.0; rows.len()];
        kernels::cross_entropy(logits, &mut losses, &targets, &weights, 13);
        losses.iter().sum()
    };
    let loss = network.backward(&mut activations, &batch, &mut gradients, hooks, &mut each);
    (loss, gradients)
}

/// Checks each tensor of a network, or each adapter, by itself.
fn check_network(mut network: Network) {
    let (_, gradients) = loss(&network, &mut NoHooks);
    let spans: Vec<_> = match &network.lora {
        Some(lora) => lora
            .adapters
            .iter()
            .flat_map(|one| [("A", one.a), ("B", one.b)])
            .map(|(name, span)| (name.to_owned(), span))
            .collect(),
        None => network
            .layout
            .tensors(&network.config)
            .into_iter()
            .map(|one| (one.name, one.span))
            .collect(),
    };
    for (name, span) in spans {
        let weights = span.of(network.trainable()).to_vec();
        check(&name, &weights, span.of(&gradients), |moved| {
            span.of_mut(network.trainable_mut()).copy_from_slice(moved);
            loss(&network, &mut NoHooks).0
        });
        span.of_mut(network.trainable_mut()).copy_from_slice(&weights);
    }
}

#[test]
fn a_llama_with_a_tied_head_has_the_right_gradient() {
    check_network(network(small()));
}

#[test]
fn a_llama_with_grouped_queries_and_its_own_head_has_the_right_gradient() {
    check_network(network(Config { n_kv_heads: 2, tied_head: false, ..small() }));
}

#[test]
fn a_qwen2_has_the_right_gradient() {
    check_network(network(Config { n_kv_heads: 1, qkv_bias: true, ..small() }));
}

#[test]
fn a_qwen3_has_the_right_gradient() {
    check_network(network(Config { n_kv_heads: 2, head_dim: 8, qk_norm: true, ..small() }));
}

#[test]
fn adapters_on_every_projection_have_the_right_gradient() {
    let mut network = network(Config { n_kv_heads: 2, qkv_bias: true, ..small() });
    let mut lora = Lora::new(&network.config, 3, 6.0, &Projection::ALL, 1).unwrap();
    lora.weights = numbers(lora.weights.len(), "lora").iter().map(|weight| 0.1 * weight).collect();
    network.lora = Some(lora);
    check_network(network);
}

#[test]
fn merged_adapters_change_no_logit() {
    let mut network = network(Config { n_kv_heads: 2, ..small() });
    let mut lora = Lora::new(&network.config, 3, 6.0, &Projection::ALL, 1).unwrap();
    lora.weights = numbers(lora.weights.len(), "lora").iter().map(|weight| 0.1 * weight).collect();
    network.lora = Some(lora);
    let apart = loss(&network, &mut NoHooks).0;
    network.merge_lora();
    let merged = loss(&network, &mut NoHooks).0;
    assert!((apart - merged).abs() < 1e-10, "{apart} {merged}");
}

/// A penalty at a point: replaces values by twice themselves and adds Σ weight · value to the loss.
struct Penalty {
    point: Point,
    weights: Vec<f64>,
    total: f64,
}

impl Hooks for Penalty {
    fn wants(&self, point: Point) -> bool {
        point == self.point
    }

    fn forward(&mut self, _place: &Place, values: &mut [f64]) {
        for value in values.iter_mut() {
            *value *= 2.0;
        }
        self.total += dot(values, &self.weights);
    }

    fn backward(&mut self, _place: &Place, gradient: &mut [f64]) {
        for (gradient, weight) in gradient.iter_mut().zip(&self.weights) {
            *gradient = 2.0 * (*gradient + weight);
        }
    }
}

#[test]
fn a_penalty_and_a_replacement_at_every_point_flow_back() {
    let mut network = network(Config { n_kv_heads: 2, ..small() });
    let layered =
        [Point::ResidPre, Point::AttnOut, Point::ResidMid, Point::MlpOut, Point::ResidPost];
    let points = layered.iter().flat_map(|point| [point(0), point(1)]);
    for point in points.chain([Point::Embed, Point::Logits]) {
        let with_penalty = |network: &Network| {
            let width = if point == Point::Logits { 13 } else { 24 };
            let mut hook = Penalty { point, weights: numbers(80 * width, "penalty"), total: 0.0 };
            let (loss, gradients) = loss(network, &mut hook);
            (loss + hook.total, gradients)
        };
        let gradients = with_penalty(&network).1;
        let weights = network.weights.clone();
        check(&point.to_string(), &weights, &gradients, |moved| {
            network.weights.copy_from_slice(moved);
            with_penalty(&network).0
        });
        network.weights.copy_from_slice(&weights);
    }
}

#[test]
#[should_panic(expected = "no gradient flows through a replaced attention pattern")]
fn a_replaced_pattern_has_no_gradient() {
    struct Uniform;
    impl Hooks for Uniform {
        fn wants(&self, point: Point) -> bool {
            point == Point::Pattern(1)
        }
        fn forward(&mut self, _place: &Place, values: &mut [f64]) {
            values.fill(0.5);
        }
    }
    loss(&network(small()), &mut Uniform);
}
