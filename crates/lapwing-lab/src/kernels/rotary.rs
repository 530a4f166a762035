//! Rotary positions (Su et al. 2021) in the rotate-half form of Llama: component i of a head turns with component i + head_dim / 2.

use super::{Heads, Real};

/// How the frequencies of a model trained on a short context are stretched (the `llama3` rope type of Llama 3.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryScaling {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// Wavelengths above original context / this are divided.
    pub low_freq_factor: f64,
    /// Wavelengths below original context / this stay.
    pub high_freq_factor: f64,
    /// Positions of the original context.
    pub original_context: f64,
}

/// Cosines and sines `[positions, head_dim / 2]`.
pub struct Rotary {
    cos: Vec<Real>,
    sin: Vec<Real>,
    half: usize,
}

impl Rotary {
    /// The angles of positions 0 to `positions`: position · theta^(-2i / head_dim).
    pub fn new(
        head_dim: usize,
        positions: usize,
        theta: f64,
        scaling: Option<RotaryScaling>,
    ) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| {
            let frequency = theta.powf(-2.0 * i as f64 / head_dim as f64);
            scaling.map_or(frequency, |scaling| stretched(frequency, scaling))
        };
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let angles = (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        let (sin, cos) = angles.map(|angle| (angle.sin() as Real, angle.cos() as Real)).unzip();
        Self { cos, sin, half }
    }

    /// Positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Long wavelengths are divided by the factor, short ones stay, and those between are interpolated.
fn stretched(frequency: f64, scaling: RotaryScaling) -> f64 {
    let turns = scaling.original_context * frequency / std::f64::consts::TAU;
    let span = scaling.high_freq_factor - scaling.low_freq_factor;
    let keep = ((turns - scaling.low_freq_factor) / span).clamp(0.0, 1.0);
    frequency * (keep + (1.0 - keep) / scaling.factor)
}

/// Which way to turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// By the angle of the position.
    Forward,
    /// Back, which is the gradient.
    Backward,
}

vectorised! {
    /// Turns the query and key heads of qkv `[rows, q + 2 kv]` in place: (a, b) ← (a cos - b sin, b cos + a sin).
    pub fn rotate(qkv: &mut [Real], positions: &[usize], table: &Rotary, heads: Heads, direction: Direction) {
        let half = table.half;
        let sign = match direction {
            Direction::Forward => 1.0,
            Direction::Backward => -1.0,
        };
        for (row, position) in qkv.chunks_exact_mut(heads.row_width()).zip(positions) {
            let angles = position * half..(position + 1) * half;
            let (cos, sin) = (&table.cos[angles.clone()], &table.sin[angles]);
            for head in row.chunks_exact_mut(2 * half).take(heads.n_heads + heads.n_kv_heads) {
                let (a, b) = head.split_at_mut(half);
                for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                    let sin = sin * sign;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}
