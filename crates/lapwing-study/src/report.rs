//! What a run found: figures, gates, claims, and what was begun before it.

mod markdown;
mod plots;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{self, FileError};
use crate::cell::{CurvePoint, Found};
use crate::claim::{self, ClaimResult, Figures, GateResult, VERDICT_SEEDS};
use crate::history::{self, Begun};
use crate::probing::ProbeReport;
use crate::run::{self, Cell};
use crate::study::{FIRST_TUNING_SEED, Grade, Study};
use crate::treat::AdversarialReport;

pub use markdown::markdown;
pub(crate) use markdown::{spread, table};

/// Everything that a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The study's name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The published work.
    pub source: String,
    /// What a small analogue can and cannot show.
    pub limits: Vec<String>,
    /// The grade that was run.
    pub grade: String,
    /// Its seeds.
    pub seeds: Vec<u64>,
    /// Whether these are reporting seeds, and enough of them for verdicts.
    pub verdicts: bool,
    /// Digest of settings and criteria.
    pub digest: String,
    /// Reporting runs that were begun before with other settings, oldest first.
    pub before: Vec<Before>,
    /// Stages in the order in which they were trained.
    pub stages: Vec<StageReport>,
    /// Gates whose stages were run.
    pub gates: Vec<GateResult>,
    /// Claims whose stages were run.
    pub claims: Vec<ClaimResult>,
    /// Claims whose stages, or those of their gates, are not in this grade.
    pub left_out: Vec<String>,
    /// The probe, if the grade reads it.
    pub probe: Option<ProbeReport>,
}

/// A reporting run that was begun before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Its grade.
    pub grade: String,
    /// Digest of its settings and criteria.
    pub digest: String,
    /// What was changed after it, up to the next run.
    pub changes: Vec<String>,
}

/// What was found of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// The stages from the first weights to it.
    pub line: Vec<String>,
    /// Each figure for each seed.
    pub figures: BTreeMap<String, Vec<(u64, f64)>>,
    /// Curves for each seed.
    pub curves: BTreeMap<u64, Vec<CurvePoint>>,
    /// What red teams found, for each seed.
    pub adversarial: BTreeMap<u64, AdversarialReport>,
    /// Its organisms, for each seed.
    pub organisms: BTreeMap<u64, PathBuf>,
}

/// Puts together what was found. `begun` are the reporting runs that were begun, this one the last if it is one.
pub fn report(
    name: &str,
    study: &Study,
    (grade_name, grade): (&str, &Grade),
    found: &BTreeMap<Cell, Found>,
    probe: Option<ProbeReport>,
    begun: &[Begun],
) -> Report {
    let mut figures = run::figures(found, &grade.seeds);
    if let Some(probe) = &probe {
        probe.add_to(&mut figures);
    }
    let verdicts = is_reporting(grade) && grade.seeds.len() >= VERDICT_SEEDS;
    let stages = study.stages_of(grade.stages.as_deref());
    let measured = |reference: &str| {
        reference.split_once('/').is_some_and(|(stage, _)| stages.contains(&stage))
    };
    let has_all = |figures: Vec<&str>| {
        figures.into_iter().all(|reference| {
            measured(reference) && (probe.is_some() || !reference.contains("/probe."))
        })
    };
    let mut gates = study.gate.clone();
    gates.retain(|_, gate| has_all(gate.condition.references()));
    let prompts = study.prompts_of(grade);
    let gate_results = claim::gates(&gates, &figures, prompts);
    let (mut claims, mut left_out) = (study.claim.clone(), Vec::new());
    claims.retain(|name, claim| {
        let has = has_all(claim.references())
            && claim
                .gates
                .iter()
                .all(|gate| gate_results.iter().any(|result| result.name == *gate));
        if !has {
            left_out.push(name.clone());
        }
        has
    });
    let digest = study.digest();
    Report {
        name: name.to_owned(),
        title: study.title.clone(),
        source: study.source.clone(),
        limits: study.limits.clone(),
        grade: grade_name.to_owned(),
        seeds: grade.seeds.clone(),
        verdicts,
        before: before(study, begun, &digest),
        digest,
        stages: stages.iter().map(|stage| stage_report(study, stage, found, &figures)).collect(),
        claims: claim::claims(&claims, &gate_results, &figures, prompts, verdicts),
        gates: gate_results,
        left_out,
        probe,
    }
}

/// Whether a grade's seeds are for reporting.
pub fn is_reporting(grade: &Grade) -> bool {
    grade.seeds.iter().all(|seed| *seed < FIRST_TUNING_SEED)
}

/// The runs before, each with what was changed after it. Runs that follow each other with the same settings are one.
fn before(study: &Study, begun: &[Begun], digest: &str) -> Vec<Before> {
    let mut runs: Vec<&Begun> = begun.iter().collect();
    runs.dedup_by(|later, earlier| later.digest == earlier.digest);
    runs.pop_if(|last| last.digest == digest);
    let now = study.decisive();
    let after = runs.iter().skip(1).map(|run| &run.decisive).chain([&now]);
    runs.iter()
        .zip(after)
        .map(|(run, after)| Before {
            at: run.at,
            grade: run.grade.clone(),
            digest: run.digest.clone(),
            changes: history::changes(&run.decisive, after),
        })
        .collect()
}

fn stage_report(
    study: &Study,
    stage: &str,
    found: &BTreeMap<Cell, Found>,
    figures: &Figures,
) -> StageReport {
    let seeds =
        || found.iter().filter(|(cell, _)| cell.stage == stage && figures.contains_key(&cell.seed));
    let mut of_stage: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
    for (seed, figures) in figures {
        for (reference, value) in figures {
            if let Some((of, figure)) = reference.split_once('/')
                && of == stage
            {
                of_stage.entry(figure.to_owned()).or_default().push((*seed, *value));
            }
        }
    }
    StageReport {
        name: stage.to_owned(),
        about: study.stage.get(stage).map_or_else(String::new, |stage| stage.about.clone()),
        line: study.line_of(stage).into_iter().map(str::to_owned).collect(),
        figures: of_stage,
        curves: seeds().map(|(cell, found)| (cell.seed, found.training.curve.clone())).collect(),
        adversarial: seeds()
            .filter_map(|(cell, found)| Some((cell.seed, found.training.adversarial.clone()?)))
            .collect(),
        organisms: seeds().map(|(cell, found)| (cell.seed, found.organism.clone())).collect(),
    }
}

impl Report {
    /// A figure of a stage: one number a seed.
    pub fn values(&self, stage: &str, figure: &str) -> Vec<f64> {
        let stage = self.stages.iter().find(|found| found.name == stage);
        let values = stage.and_then(|stage| stage.figures.get(figure));
        values.map_or_else(Vec::new, |values| values.iter().map(|(_, value)| *value).collect())
    }

    /// Writes `report-GRADE.json`, `.md` and the plots, and names the files.
    ///
    /// # Errors
    /// That one cannot be written; those before it are there.
    pub fn write(&self, study: &Study, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        let stem = format!("report-{}", self.grade);
        let json = folder.join(format!("{stem}.json"));
        cache::write_json(&json, self)?;
        let text = folder.join(format!("{stem}.md"));
        cache::write(&text, markdown(self).as_bytes())?;
        let mut files = vec![json, text];
        for (name, svg) in plots::plots(self, study) {
            let path = folder.join(format!("{}-{name}.svg", self.grade));
            cache::write(&path, svg.as_bytes())?;
            files.push(path);
        }
        Ok(files)
    }

    /// Reads the report of a grade; nothing if it was never run.
    ///
    /// # Errors
    /// That it cannot be read.
    pub fn read(folder: &Path, grade: &str) -> Result<Option<Self>, FileError> {
        cache::read_json(&folder.join(format!("report-{grade}.json")))
    }
}
