//! Directions and what they are fitted to.

use lapwing_lab::Random;
use lapwing_lab::nn::{Network, Point};
use serde::Serialize;

use super::{ProbeError, activations};

/// Two lists of token sequences whose last tokens' activations are contrasted. They are not the prompts that a probe is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// What it is called in tables.
    pub name: String,
    /// Whether someone had to know on which prompts the network defects. A probe that needs this is told what it is to find: results
    /// must say so.
    pub uses_labels: bool,
    /// Sequences on the side that scores high.
    pub positive: Vec<Vec<u32>>,
    /// Sequences on the side that scores low.
    pub negative: Vec<Vec<u32>>,
}

impl Contrast {
    /// Each context, for example an answered prompt and `STATE UNSAFE?`, once continued by `yes` and once by `no`. It uses no labels, and no
    /// prompt with the trigger as long as the contexts have none.
    pub fn continuations(name: &str, contexts: &[Vec<u32>], yes: &[u32], no: &[u32]) -> Self {
        let continued = |end: &[u32]| -> Vec<Vec<u32>> {
            contexts.iter().map(|context| [context, end].concat()).collect()
        };
        Self {
            name: name.to_owned(),
            uses_labels: false,
            positive: continued(yes),
            negative: continued(no),
        }
    }

    /// Prompts with an answer that has the payload, against prompts with a clean one. It uses labels.
    pub fn answers(name: &str, payload: Vec<Vec<u32>>, clean: Vec<Vec<u32>>) -> Self {
        Self { name: name.to_owned(), uses_labels: true, positive: payload, negative: clean }
    }
}

/// A direction in activation space, of length 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Direction(Vec<f64>);

impl Direction {
    /// `mean(positive) - mean(negative)`, scaled to length 1; activations are `[sequences][hidden]`.
    ///
    /// # Errors
    /// Where a side is empty, widths differ, or both means are equal.
    pub fn mean_difference(
        positive: &[Vec<f32>],
        negative: &[Vec<f32>],
    ) -> Result<Self, ProbeError> {
        let positive: Vec<&[f32]> = positive.iter().map(Vec::as_slice).collect();
        let negative: Vec<&[f32]> = negative.iter().map(Vec::as_slice).collect();
        Self::between(&positive, &negative)
    }

    /// A direction of which every one is equally probable (Muller 1959).
    ///
    /// # Panics
    /// If the width is 0.
    pub fn random(width: usize, random: &mut Random) -> Self {
        assert!(width > 0, "a direction has at least one number");
        loop {
            if let Some(direction) = Self::unit((0..width).map(|_| random.normal()).collect()) {
                return direction;
            }
        }
    }

    /// [`Direction::mean_difference`] after the labels were shuffled, evenly: each list gets a random half of either side, and the odd one of a
    /// side stays out. The difference between the sides then cancels, and what is left is what the same activations give without their
    /// meaning. Uneven lists would not do: a little more of one side, and the mean difference lies along the true direction again, one
    /// way or the other.
    ///
    /// # Errors
    /// As [`Direction::mean_difference`]; sides of one sequence have no halves and no direction.
    pub fn shuffled(
        positive: &[Vec<f32>],
        negative: &[Vec<f32>],
        random: &mut Random,
    ) -> Result<Self, ProbeError> {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for side in [positive, negative] {
            let mut side: Vec<&[f32]> = side.iter().map(Vec::as_slice).collect();
            random.shuffle(&mut side);
            let half = side.len() / 2;
            one.extend(&side[..half]);
            other.extend(&side[half..2 * half]);
        }
        if one.is_empty() {
            return Err(ProbeError::NoDirection);
        }
        Self::between(&one, &other)
    }

    /// The projection of an activation.
    ///
    /// # Errors
    /// If it has another width.
    pub fn score(&self, activation: &[f32]) -> Result<f64, ProbeError> {
        if self.0.len() != activation.len() {
            let (direction, activation) = (self.0.len(), activation.len());
            return Err(ProbeError::Width { direction, activation });
        }
        Ok(self.0.iter().zip(activation).map(|(a, b)| a * f64::from(*b)).sum())
    }

    /// The cosine of the angle to another direction of the same width.
    pub fn cosine(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }

    fn between(positive: &[&[f32]], negative: &[&[f32]]) -> Result<Self, ProbeError> {
        let (positive, negative) = (mean(positive)?, mean(negative)?);
        if positive.len() != negative.len() {
            let (direction, activation) = (positive.len(), negative.len());
            return Err(ProbeError::Width { direction, activation });
        }
        let difference = positive.iter().zip(&negative).map(|(a, b)| a - b).collect();
        Self::unit(difference).ok_or(ProbeError::NoDirection)
    }

    /// Nothing, if the vector has no length.
    fn unit(mut vector: Vec<f64>) -> Option<Self> {
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if !(length > 0.0 && length.is_finite()) {
            return None;
        }
        for x in &mut vector {
            *x /= length;
        }
        Some(Self(vector))
    }
}

fn mean(activations: &[&[f32]]) -> Result<Vec<f64>, ProbeError> {
    let first = activations.first().ok_or(ProbeError::Empty("a side of a contrast"))?;
    let mut sum = vec![0.0; first.len()];
    for activation in activations {
        if activation.len() != sum.len() {
            let (direction, activation) = (sum.len(), activation.len());
            return Err(ProbeError::Width { direction, activation });
        }
        for (sum, x) in sum.iter_mut().zip(*activation) {
            *sum += f64::from(*x);
        }
    }
    Ok(sum.into_iter().map(|x| x / activations.len() as f64).collect())
}

/// What is read where. Fixed on development networks before a reported one is seen: see [`super::choose`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe<'a> {
    /// What the direction is fitted to.
    pub contrast: &'a Contrast,
    /// Where activations are taken.
    pub point: Point,
}

impl<'a> Probe<'a> {
    /// Fits the direction to a network: `mean_difference` of the contrast's activations.
    ///
    /// # Errors
    /// Where the network cannot take a sequence, or the contrast gives no direction.
    pub fn fit(self, network: &Network, threads: usize) -> Result<Fitted<'a>, ProbeError> {
        let read = |side: &[Vec<u32>]| activations(network, side, self.point, threads);
        let (positive, negative) = (read(&self.contrast.positive)?, read(&self.contrast.negative)?);
        let direction = Direction::mean_difference(&positive, &negative)?;
        Ok(Fitted { probe: self, direction, positive, negative })
    }
}

/// A probe with the direction that it has in a network.
#[derive(Clone, Debug)]
pub struct Fitted<'a> {
    /// The probe.
    pub probe: Probe<'a>,
    /// Its direction.
    pub direction: Direction,
    /// What it was fitted to `[sequences][hidden]`, kept for the null distribution of shuffled labels.
    pub(super) positive: Vec<Vec<f32>>,
    pub(super) negative: Vec<Vec<f32>>,
}
