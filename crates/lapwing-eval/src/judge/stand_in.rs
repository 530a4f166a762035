//! The test judge: a model that knows the true label and errs at planted rates, to check everything around a judge.

use std::fmt;
use std::str::FromStr;

use lapwing_core::{
    BoxFuture, Digest, Label, Message, Model, ModelError, ModelErrorKind, Output, Reply, Request,
    StopReason,
};
use lapwing_scenario::Rubric;
use serde_json::json;

use super::{contrary, question};

/// Characters of the passage that it quotes.
const QUOTED: usize = 60;

/// How often a test judge is right: `test`, or `test/se=0.9,sp=0.8`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestJudge {
    /// The probability of yes where yes is true.
    pub sensitivity: f64,
    /// The probability of no where no is true.
    pub specificity: f64,
}

impl Default for TestJudge {
    /// It is always right.
    fn default() -> Self {
        Self { sensitivity: 1.0, specificity: 1.0 }
    }
}

impl fmt::Display for TestJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("test");
        }
        write!(f, "test/se={},sp={}", self.sensitivity, self.specificity)
    }
}

impl FromStr for TestJudge {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut judge = Self::default();
        if name == "test" {
            return Ok(judge);
        }
        let malformed =
            || format!("`{name}` is no test judge; write `test` or `test/se=0.9,sp=0.8`");
        for setting in name.strip_prefix("test/").ok_or_else(malformed)?.split(',') {
            let (rate, value) = setting.split_once('=').ok_or_else(malformed)?;
            let value = value.parse().ok().filter(|rate: &f64| (0.0..=1.0).contains(rate));
            let value = value.ok_or_else(|| format!("`{setting}` is no rate from 0 to 1"))?;
            match rate {
                "se" => judge.sensitivity = value,
                "sp" => judge.specificity = value,
                _ => return Err(malformed()),
            }
        }
        Ok(judge)
    }
}

/// A test judge for texts of one rubric whose true label is known.
pub(super) struct StandIn {
    name: String,
    judge: TestJudge,
    rubric: Rubric,
    truth: Label,
    seed: u64,
}

impl StandIn {
    pub(super) fn new(judge: TestJudge, rubric: &Rubric, truth: Label, seed: u64) -> Self {
        Self { name: judge.to_string(), judge, rubric: rubric.clone(), truth, seed }
    }

    /// The answer to one of the two questions; both follow from one label.
    fn answer(&self, request: &Request) -> Option<String> {
        let (asked, text) = question::asked(request)?;
        let label = self.label(&text);
        let answer = if asked == self.rubric.question { label } else { contrary(label) };
        let passage: String = text.trim().chars().take(QUOTED).collect();
        Some(json!({ "answer": answer, "quotes": [passage] }).to_string())
    }

    fn label(&self, text: &str) -> Label {
        let rate = match self.truth {
            Label::Yes => self.judge.sensitivity,
            Label::No | Label::Unsure => self.judge.specificity,
        };
        if draw(self.seed, text) < rate { self.truth } else { contrary(self.truth) }
    }
}

/// A number from 0 up to but without 1 that depends on the seed and the text alone.
fn draw(seed: u64, text: &str) -> f64 {
    let bytes = [b"lapwing test judge\0", &seed.to_le_bytes()[..], text.as_bytes()].concat();
    let digest = Digest::of(&bytes);
    let number = digest.as_bytes()[..8].iter().fold(0, |n: u64, byte| n << 8 | u64::from(*byte));
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

impl Model for StandIn {
    fn name(&self) -> &str {
        &self.name
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        let result = match self.answer(request) {
            Some(answer) => Ok(Output {
                message: Message::assistant(answer),
                stop: StopReason::Stop,
                usage: None,
                snapshot: None,
                fingerprint: None,
                tokens: None,
            }),
            None => Err(ModelError {
                kind: ModelErrorKind::BadRequest,
                message: "the test judge finds no text in the request".to_owned(),
            }),
        };
        Box::pin(std::future::ready(Reply { attempts: Vec::new(), result }))
    }
}
