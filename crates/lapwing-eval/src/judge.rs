//! Judges: models that label what a target wrote, for evidence that state cannot show.
//!
//! A judge sees a rubric and one text, nothing else: no condition, no name of a model or scenario, no other label. Of each text it
//! is asked two questions of opposite polarity, each in a conversation of its own ([`question`]). Everything that is not a clean
//! answer with passages that stand in the text leaves the text without a label.

mod again;
mod calibration;
mod question;
mod stand_in;

use std::collections::BTreeSet;
use std::sync::Arc;

use lapwing_core::{
    Act, Label, Model, ModelError, ModelErrorKind, PhaseEnd, Quote, Role, SampleKey,
};
use lapwing_scenario::{JudgeOver, JudgeQuery, Rubric, Scenario};

pub use again::{JudgeError, Judgings, judge_again};
pub use calibration::{Calibration, Counts, Estimate, calibrate};
pub use stand_in::TestJudge;

use crate::log::Log;
use crate::sample::Abort;
use question::{Polarity, Said};
use stand_in::StandIn;

/// The phase in which judges are asked, after those of the scenario.
const PHASE: &str = "judge";

/// Who labels.
#[derive(Clone)]
pub enum Judge {
    /// A model.
    Model(Arc<dyn Model>),
    /// A stand-in that knows what policies declare and texts are labelled, to check the plumbing.
    Test(TestJudge),
}

impl Judge {
    /// The name under which its labels are kept.
    pub fn name(&self) -> String {
        match self {
            Self::Model(model) => model.name().to_owned(),
            Self::Test(test) => test.to_string(),
        }
    }

    /// The model to ask about texts whose true label is `truth`; `None` if the judge would have to know it.
    fn model(&self, rubric: &Rubric, truth: Option<Label>, seed: u64) -> Option<Arc<dyn Model>> {
        match self {
            Self::Model(model) => Some(Arc::clone(model)),
            Self::Test(test) => Some(Arc::new(StandIn::new(*test, rubric, truth?, seed))),
        }
    }
}

/// What two questions about one text came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    label: Option<Label>,
    /// First byte of each passage and the byte behind its last.
    quotes: Vec<(usize, usize)>,
    reason: Option<String>,
}

/// Labels the texts of one sample, query by query. `texts` gives those of a query; a test judge leaves out samples whose truth
/// nobody declared.
pub(crate) async fn judge_sample<'r>(
    judge: &Judge,
    scenario: &Scenario,
    key: &SampleKey,
    log: &mut Log<'r>,
    texts: impl Fn(&JudgeQuery, &Log<'r>) -> Vec<(u64, String)>,
) -> Result<(), Abort> {
    let declared = declared(scenario, key);
    let mut begun = false;
    for query in scenario.judge_queries() {
        let truth = declared.as_ref().map(|declared| {
            let is_there = declared.contains(&query.name);
            if is_there { query.label } else { contrary(query.label) }
        });
        let Some(model) = judge.model(&query.rubric, truth, key.seed) else { continue };
        for (seq, text) in texts(query, log) {
            if !begun {
                log.set_phase(PHASE);
                log.push(Act::PhaseStarted { id: PHASE.to_owned() });
                begun = true;
            }
            let verdict = label(model.as_ref(), &query.rubric, query.over, &text, key, log).await?;
            let quotes = verdict.quotes.into_iter().map(|(start, end)| {
                let passage = text.get(start..end).unwrap_or_default().to_owned();
                Quote { seq, start, end, text: passage }
            });
            log.push(Act::Judged {
                judge: model.name().to_owned(),
                rubric: query.rubric.file.clone(),
                query: query.name.clone(),
                over: vec![seq],
                label: verdict.label,
                quotes: quotes.collect(),
                reason: verdict.reason,
            });
            log.commit().await?;
        }
    }
    if begun {
        log.push(Act::PhaseEnded { id: PHASE.to_owned(), why: PhaseEnd::Asked });
        log.set_phase("");
    }
    Ok(log.commit().await?)
}

/// The judge queries whose true label is the wanted one, if a policy was played.
fn declared(scenario: &Scenario, key: &SampleKey) -> Option<BTreeSet<String>> {
    let name = key.model.strip_prefix("policy/")?;
    let policy = scenario.drawn_policy(name, key.seed).ok()?;
    Some(scenario.judged_truth(policy, &key.condition))
}

fn contrary(label: Label) -> Label {
    match label {
        Label::Yes => Label::No,
        Label::No => Label::Yes,
        Label::Unsure => Label::Unsure,
    }
}

/// Asks both questions about `text`; every attempt is logged. The first answer that cannot be used ends it.
async fn label(
    model: &dyn Model,
    rubric: &Rubric,
    over: JudgeOver,
    text: &str,
    key: &SampleKey,
    log: &mut Log<'_>,
) -> Result<Verdict, Abort> {
    let mut answers: Vec<(Polarity, Said)> = Vec::new();
    for polarity in question::order(text) {
        let mut request = question::request(rubric, over, polarity, text);
        request.place.draw = log.next_draw(key);
        let reply = log.ask(model, &request).await?;
        let output = log.push_reply(model.name(), Role::Judge, reply);
        if let Err(ModelError { kind: ModelErrorKind::Budget, message }) = output {
            return Err(Abort::Unpaid(message));
        }
        let said =
            output.map_err(|error| failed(&error)).and_then(|output| question::read(&output, text));
        match said {
            Ok(said) => answers.push((polarity, said)),
            Err(reason) => {
                return Ok(Verdict { label: None, quotes: Vec::new(), reason: Some(reason) });
            }
        }
    }
    Ok(question::verdict(answers))
}

fn failed(error: &ModelError) -> String {
    match error.kind {
        ModelErrorKind::Refused => "the judge refused".to_owned(),
        ModelErrorKind::RateLimit
        | ModelErrorKind::Overloaded
        | ModelErrorKind::ContextLength
        | ModelErrorKind::Auth
        | ModelErrorKind::BadRequest
        | ModelErrorKind::Transport
        | ModelErrorKind::Malformed
        | ModelErrorKind::Budget => format!("the judge failed: {}", error.message),
    }
}
