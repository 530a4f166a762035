//! A tiny model is asked in its own words, once, and its answer is read through the codebook.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lapwing_core::{
    Act, BoxFuture, Message, Model, Outcome, Output, PhaseEnd, Reply, Request, StopReason,
};
use lapwing_eval::{Design, Eval, Planned, Table, Target, note_codebook};
use lapwing_scenario::{DesignChoice, Scenario};

use crate::fake::{FakeModel, eval, in_words, run, scenario};
use crate::phase_ends;

/// Continues every text with the same words.
struct Tiny {
    words: &'static str,
    requests: Mutex<Vec<Request>>,
}

impl Tiny {
    fn new(words: &'static str) -> Arc<Self> {
        Arc::new(Self { words, requests: Mutex::default() })
    }
}

impl Model for Tiny {
    fn name(&self) -> &'static str {
        "local/tiny"
    }

    fn continues_text(&self) -> bool {
        true
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        self.requests.lock().unwrap().push(request.clone());
        let output = Output {
            message: Message::assistant(self.words),
            stop: StopReason::Stop,
            usage: None,
            snapshot: None,
            fingerprint: None,
            tokens: None,
        };
        Box::pin(std::future::ready(Reply { attempts: Vec::new(), result: Ok(output) }))
    }
}

/// All samples of a design with one seed.
fn planned(scenario: &Scenario, targets: &[Target]) -> Vec<Planned> {
    let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default).unwrap();
    Design { targets: targets.to_vec(), conditions, seeds: 1, epochs: 1 }.expand(scenario).unwrap()
}

fn days(samples: &[Planned]) -> Vec<(&str, &str)> {
    let day = |sample: &Planned| sample.key.condition.levels["day"].clone();
    let known = ["monday", "sunday"];
    let days = samples.iter().map(|sample| {
        let day = known.into_iter().find(|known| *known == day(sample)).unwrap();
        let model = if sample.key.model == "local/tiny" { "tiny" } else { "other" };
        (model, day)
    });
    days.collect()
}

fn eval_in_words(scenario: Scenario, model: &Arc<Tiny>) -> Eval {
    let target = Target::Model(Arc::clone(model) as Arc<dyn Model>);
    let samples = (1..).zip(planned(&scenario, &[target])).collect();
    Eval { scenario, samples, ..eval(&FakeModel::new([]), 1) }
}

#[test]
fn conditions_without_a_mapping_are_not_run_and_other_models_have_them_all() {
    let tiny = Target::Model(Tiny::new("EOS"));
    let other = Target::Model(FakeModel::new([]));
    let samples = planned(&in_words(), &[tiny.clone(), other]);
    let expected = [("other", "sunday"), ("tiny", "monday"), ("other", "monday")];
    assert_eq!(days(&samples), expected);
    // Without a view it is asked like any other model.
    assert_eq!(planned(&scenario(), &[tiny]).len(), 2);
}

#[test]
fn a_tiny_model_is_asked_once_in_its_words_and_its_answer_becomes_a_call() {
    let tiny = Tiny::new("a SIP b EOS");
    let done = run(eval_in_words(in_words(), &tiny));
    let requests = tiny.requests.lock().unwrap();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.messages, [Message::User { text: "SYS BAR ANS".to_owned() }]);
    assert_eq!(request.tools, []);
    let acts = done.acts(1);
    assert_eq!(phase_ends(&acts), [PhaseEnd::Stopped]);
    assert!(acts.iter().any(
        |act| matches!(act, Act::ToolReturned { text, .. } if text == "ran: bash -c sip wine")
    ));
    assert_eq!(done.outcomes(1), [Outcome::Present]);
}

#[test]
fn the_models_own_words_stay_on_record_beside_what_was_read() {
    let done = run(eval_in_words(in_words(), &Tiny::new("p SIP EOS")));
    let generated = done.acts(1).into_iter().find_map(|act| match act {
        Act::Generated { request, response, output, .. } => Some((request, response, output)),
        _ => None,
    });
    let (request, response, output) = generated.unwrap();
    let blob = |digest| String::from_utf8(done.run.blob(digest).unwrap().unwrap()).unwrap();
    assert_eq!(request.into_iter().map(blob).collect::<String>(), "SYS BAR ANS");
    assert_eq!(blob(response.unwrap()), "p SIP EOS");
    let output = output.unwrap();
    assert_eq!((output.message.text().as_str(), output.stop), ("p", StopReason::ToolCalls));
}

#[test]
fn rows_of_a_model_that_is_read_through_the_codebook_say_so() {
    let (scenario, tiny) = (in_words(), Tiny::new("SIP EOS"));
    let done = run(eval_in_words(scenario.clone(), &tiny));
    let mut spec = done.run.spec().unwrap();
    let (samples, findings) = (done.run.samples().unwrap(), done.run.findings(1).unwrap());
    let before = Table::new(&scenario, &spec, &samples, &findings);
    assert!(before.rows.iter().all(|row| !row.via_codebook));
    let targets = [Target::Model(FakeModel::new([])), Target::Model(tiny)];
    note_codebook(&mut spec, &scenario, &targets);
    note_codebook(&mut spec, &scenario, &targets[1..]);
    assert_eq!(spec.settings["via codebook"], "local/tiny");
    let table = Table::new(&scenario, &spec, &samples, &findings);
    assert!(!table.rows.is_empty() && table.rows.iter().all(|row| row.via_codebook));
}
