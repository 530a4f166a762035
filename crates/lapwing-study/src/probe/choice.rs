//! Which probe is read, decided before a reported network is seen.

use lapwing_lab::nn::{Network, Point};
use lapwing_stats::{Auroc, DataError};
use serde::Serialize;

use super::reading::{area, area_with_interval, by_name, project};
use super::{Contrast, Direction, Probe, ProbeError, Prompts, Scores, activations_at};

/// A development network with development prompts. Neither is reported on.
#[derive(Clone, Copy)]
pub struct Development<'a> {
    /// A network of a development seed.
    pub network: &'a Network,
    /// Prompts of a development seed.
    pub prompts: &'a Prompts,
}

/// The probe that was chosen, and all that were tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<'a> {
    /// The probe of the greatest mean area; of equals the first, in the order of contrasts and then of points.
    pub probe: Probe<'a>,
    /// Every candidate in that order.
    pub tried: Vec<Tried>,
}

/// A candidate and its worth on development networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The contrast's name.
    pub contrast: String,
    /// Whether the contrast uses labels.
    pub uses_labels: bool,
    /// Where activations were taken.
    #[serde(serialize_with = "by_name")]
    pub point: Point,
    /// The area under the ROC on each development network; 0.5 where the contrast has no direction or all scores are equal.
    pub areas: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

/// Tries every contrast at every point and takes what has the greatest mean area over the development networks. A contrast that uses labels
/// will mostly win against one that does not, since it is told what to find: choose among each kind by itself.
///
/// # Errors
/// Without a network, contrast or point; where a network cannot take a sequence, or prompts are fewer than two of either kind.
pub fn choose<'a>(
    development: &[Development<'_>],
    contrasts: &'a [Contrast],
    points: &[Point],
    threads: usize,
) -> Result<Choice<'a>, ProbeError> {
    if development.is_empty() {
        return Err(ProbeError::Empty("the list of development networks"));
    }
    let mut areas = vec![Vec::new(); contrasts.len() * points.len()];
    for Development { network, prompts } in development {
        let of_network = areas_of(network, prompts, contrasts, points, threads)?;
        for (areas, area) in areas.iter_mut().zip(of_network) {
            areas.push(area);
        }
    }
    let candidates = contrasts
        .iter()
        .flat_map(|contrast| points.iter().map(move |point| Probe { contrast, point: *point }));
    let (mut tried, mut best): (Vec<Tried>, Option<(f64, Probe<'a>)>) = (Vec::new(), None);
    for (probe, areas) in candidates.zip(areas) {
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        if best.is_none_or(|(most, _)| mean > most) {
            best = Some((mean, probe));
        }
        tried.push(Tried {
            contrast: probe.contrast.name.clone(),
            uses_labels: probe.contrast.uses_labels,
            point: probe.point,
            areas,
            mean,
        });
    }
    let (_, probe) = best.ok_or(ProbeError::Empty("the list of contrasts or points"))?;
    Ok(Choice { probe, tried })
}

/// The area of every contrast at every point, in that order, on one network.
fn areas_of(
    network: &Network,
    prompts: &Prompts,
    contrasts: &[Contrast],
    points: &[Point],
    threads: usize,
) -> Result<Vec<f64>, ProbeError> {
    let mut areas = Vec::new();
    for contrast in contrasts {
        for scores in scores_at(network, contrast, points, prompts, threads)? {
            areas.push(scores.map_or(Ok(0.5), |scores| area(&scores))?);
        }
    }
    Ok(areas)
}

/// What a contrast scores at each point; nothing where it has no direction.
fn scores_at(
    network: &Network,
    contrast: &Contrast,
    points: &[Point],
    prompts: &Prompts,
    threads: usize,
) -> Result<Vec<Option<Scores>>, ProbeError> {
    let at = |prompts: &[Vec<u32>]| activations_at(network, prompts, points, threads);
    let (positive, negative) = (at(&contrast.positive)?, at(&contrast.negative)?);
    let (triggered, clean) = (at(&prompts.triggered)?, at(&prompts.clean)?);
    let at_point =
        |index: usize| match Direction::mean_difference(&positive[index], &negative[index]) {
            Ok(direction) => project(&direction, &triggered[index], &clean[index]).map(Some),
            Err(ProbeError::NoDirection) => Ok(None),
            Err(error) => Err(error),
        };
    (0..points.len()).map(at_point).collect()
}

/// A point of a curve over layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnCurve {
    /// Where activations were taken.
    #[serde(serialize_with = "by_name")]
    pub point: Point,
    /// The area under the ROC there. None where the contrast has no direction or all scores are equal.
    pub auroc: Option<Auroc>,
}

/// The area at each point of a reported network. It is exploratory: the best of its points is no result, and a probe that was chosen by it
/// is fitted to the network that it is read on.
///
/// # Errors
/// As [`choose`].
pub fn exploratory_curve(
    network: &Network,
    contrast: &Contrast,
    points: &[Point],
    prompts: &Prompts,
    threads: usize,
) -> Result<Vec<OnCurve>, ProbeError> {
    let mut curve = Vec::new();
    for (point, scores) in
        points.iter().zip(scores_at(network, contrast, points, prompts, threads)?)
    {
        let auroc = match scores.map(|scores| area_with_interval(&scores, prompts.paired)) {
            Some(Ok(auroc)) => Some(auroc),
            None | Some(Err(DataError::NoSpread { .. })) => None,
            Some(Err(error)) => return Err(error.into()),
        };
        curve.push(OnCurve { point: *point, auroc });
    }
    Ok(curve)
}
