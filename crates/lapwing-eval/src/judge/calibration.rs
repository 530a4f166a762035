//! A judge on texts whose labels are known.

use std::sync::Arc;

use lapwing_core::{Condition, Discard, Label, SampleKey};
use lapwing_scenario::{Gold, JudgeOver, Rubric, Scenario};
use lapwing_stats::{Interval, kappa, wilson};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Judge, JudgeError, Verdict, label};
use crate::log::Log;
use crate::sample::Abort;

/// Nominal coverage of every interval here.
const LEVEL: f64 = 0.95;

/// Of the texts of one true label, how many the judge gave which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Labelled yes.
    pub yes: u64,
    /// Labelled no.
    pub no: u64,
    /// Labelled unsure.
    pub unsure: u64,
    /// Without a label.
    pub none: u64,
}

impl Counts {
    fn add(&mut self, label: Option<Label>) {
        let count = match label {
            Some(Label::Yes) => &mut self.yes,
            Some(Label::No) => &mut self.no,
            Some(Label::Unsure) => &mut self.unsure,
            None => &mut self.none,
        };
        *count += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.yes + self.no + self.unsure + self.none
    }
}

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub estimate: f64,
    /// Its interval.
    pub interval: (f64, f64),
}

/// What a judge made of the hand-labelled texts of one rubric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The rubric's name.
    pub rubric: String,
    /// The judge.
    pub judge: String,
    /// Labels given to texts whose true label is yes.
    pub truly_yes: Counts,
    /// Labels given to texts whose true label is no.
    pub truly_no: Counts,
    /// Yes among yes and no where yes is true, with Wilson's interval; `None` if there is neither.
    pub sensitivity: Option<Estimate>,
    /// No among yes and no where no is true, with Wilson's interval; `None` if there is neither.
    pub specificity: Option<Estimate>,
    /// Cohen's kappa over all texts; unsure and no label disagree with either true label.
    pub kappa: Option<Estimate>,
    /// Why texts have no label, each reason once.
    pub reasons: Vec<String>,
}

impl Calibration {
    fn new(rubric: &str, judge: String, labels: &[(Label, Verdict)]) -> Self {
        let (mut yes, mut no) = (Counts::default(), Counts::default());
        let mut reasons: Vec<String> = Vec::new();
        for (truth, verdict) in labels {
            if *truth == Label::Yes {
                yes.add(verdict.label);
            } else {
                no.add(verdict.label);
            }
            let reason = verdict.reason.iter().find(|reason| !reasons.contains(reason));
            reasons.extend(reason.cloned());
        }
        let row = |counts: Counts| [counts.yes, counts.no, counts.unsure, counts.none];
        let agreement = kappa(&[row(yes), row(no), [0; 4], [0; 4]], LEVEL);
        Self {
            rubric: rubric.to_owned(),
            judge,
            truly_yes: yes,
            truly_no: no,
            sensitivity: share(yes.yes, yes.yes + yes.no),
            specificity: share(no.no, no.yes + no.no),
            kappa: agreement.map(|kappa| estimate(kappa.estimate, kappa.interval)),
            reasons,
        }
    }
}

fn share(k: u64, n: u64) -> Option<Estimate> {
    (n > 0).then(|| estimate(k as f64 / n as f64, wilson(k, n, LEVEL)))
}

fn estimate(estimate: f64, interval: Interval) -> Estimate {
    Estimate { estimate, interval: (interval.low, interval.high) }
}

/// Lets `judge` label the hand-labelled texts of one rubric, `at_a_time` of them at a time. `None` if the scenario has no such
/// texts.
///
/// # Errors
/// The budget does not hold all of them: figures of some would be those of another rubric.
pub async fn calibrate(
    judge: &Judge,
    scenario: &Scenario,
    rubric: &Rubric,
    at_a_time: usize,
) -> Result<Option<Calibration>, JudgeError> {
    let is_of_rubric = |gold: &&Gold| gold.rubric == rubric.name();
    let Some(gold) = scenario.gold().iter().find(is_of_rubric) else { return Ok(None) };
    let mut queries = scenario.judge_queries().iter();
    let over = queries.find(|query| query.rubric == *rubric).map_or(JudgeOver::Answer, |q| q.over);
    let places = Arc::new(Semaphore::new(at_a_time.max(1)));
    let mut running = JoinSet::new();
    for item in gold.items.clone() {
        let (places, rubric) = (Arc::clone(&places), rubric.clone());
        let Some(model) = judge.model(&rubric, Some(item.label), 0) else { continue };
        running.spawn(async move {
            let _place = places.acquire().await;
            let mut log = Log::new(0, &Discard);
            let key = SampleKey {
                model: model.name().to_owned(),
                condition: Condition::default(),
                seed: 0,
                epoch: 1,
            };
            let verdict = label(model.as_ref(), &rubric, over, &item.text, &key, &mut log).await;
            verdict.map(|verdict| (item.label, verdict))
        });
    }
    let labelled: Result<Vec<(Label, Verdict)>, Abort> =
        running.join_all().await.into_iter().collect();
    Ok(Some(Calibration::new(rubric.name(), judge.name(), &labelled?)))
}
