//! Inspect logs at the command line: a run goes out and comes back, a log becomes a run of which more can be asked.

use std::fs;

use crate::support::{Lab, completion, endpoint};

/// A lab with the run of two policies, whose id is the first.
fn with_run() -> (Lab, String) {
    let lab = Lab::new();
    let small = ["eval", "shutdown", "-f", "instruction=none", "--seeds", "1", "--json"];
    let models = ["--model", "policy/always", "--model", "policy/never"];
    let said = lab.lapwing(&[&small[..], &models].concat());
    let run = said.json()["run"].as_str().unwrap().to_owned();
    (lab, run)
}

fn log_in(lab: &Lab, folder: &str) -> String {
    let entry = fs::read_dir(lab.path().join(folder)).unwrap().next().unwrap().unwrap();
    format!("{folder}/{}", entry.file_name().to_str().unwrap())
}

#[test]
fn a_run_goes_out_one_model_a_log_and_comes_back_equal() {
    let (lab, run) = with_run();
    let said = lab.lapwing(&["export", "eval", &run, "--output", "logs", "--json"]);
    let logs = said.json()["logs"].as_array().unwrap().clone();
    assert_eq!(logs.len(), 2);
    for log in &logs {
        let (path, model) = (log["path"].as_str().unwrap(), log["model"].as_str().unwrap());
        let said = lab.lapwing(&["import", path, "--json"]);
        let made = said.json()["run"].as_str().unwrap().to_owned();
        let table = |run: &str| {
            let rows = lab.lapwing(&["show", run, "--json"]).json()["table"]["rows"].clone();
            let rows = rows.as_array().unwrap().clone();
            rows.into_iter().filter(|row| row["model"] == model).collect::<Vec<_>>()
        };
        assert_eq!(table(&made), table(&run));
        let scored = lab.lapwing(&["score", &made, "--json"]).json();
        assert_eq!(scored["changed"], serde_json::json!([]), "{model}");
    }
    let runs = lab.lapwing(&["runs"]).stdout;
    assert!(runs.contains(&format!("exported from the run {run}")), "{runs}");
}

#[test]
fn what_cannot_be_exported_or_imported_is_told_with_what_to_do() {
    let (lab, run) = with_run();
    let one = ["export", "eval", &run, "--output", "one.eval"];
    lab.lapwing(&one).fails(2, &["2 models do not go into one log", "--model"]);
    let chosen = [&one[..], &["--model", "policy/always"]].concat();
    assert_eq!(lab.lapwing(&chosen).code, 0);
    lab.lapwing(&chosen).fails(2, &["one.eval exists already"]);
    let nobody = [&one[..], &["--model", "policy/nobody"]].concat();
    lab.lapwing(&nobody).fails(2, &["nothing of policy/nobody", "policy/always, policy/never"]);
    fs::write(lab.path().join("no.eval"), "{}").unwrap();
    lab.lapwing(&["import", "no.eval"])
        .fails(3, &["no.eval is no Inspect log", "inspect log convert"]);
    lab.lapwing(&["import", "gone.eval"]).fails(3, &["gone.eval"]);
    let named = ["import", "one.eval", "--name"];
    lab.lapwing(&[&named[..], &["../x"]].concat()).fails(2, &["cannot be the id of a run"]);
    assert_eq!(lab.lapwing(&[&named[..], &["again"]].concat()).code, 0);
    lab.lapwing(&[&named[..], &["again"]].concat()).fails(2, &["again.lapwing exists already"]);
}

#[test]
fn a_scenario_of_a_run_is_written_to_a_new_folder_and_scores_it() {
    let (lab, run) = with_run();
    let export = ["export", "scenario", &run, "--output", "mine"];
    assert_eq!(lab.lapwing(&export).code, 0);
    lab.lapwing(&export).fails(2, &["mine exists already"]);
    let scored = lab.lapwing(&["score", &run, "--with", "mine", "--json"]).json();
    assert_eq!(scored["changed"], serde_json::json!([]));
}

#[test]
fn a_scoring_by_an_edited_scenario_is_not_what_is_exported() {
    let (lab, run) = with_run();
    let edited = lab.edited("edited", "scenario.toml", "title = ", "title = \"Other\" # ");
    assert_eq!(lab.lapwing(&["score", &run, "--with", &edited]).code, 0);
    assert_eq!(lab.lapwing(&["export", "eval", &run, "--output", "logs"]).code, 0);
    lab.lapwing(&["export", "eval", &run, "--output", "more", "--scoring", "2"])
        .fails(2, &["scoring 2 used an edited scenario"]);
}

#[test]
fn an_imported_scenario_is_never_run() {
    let lab = Lab::new();
    let folder = lab.path().join("told");
    fs::create_dir(&folder).unwrap();
    let text = "format = 1\ntitle = \"t\"\ndescription = \"d\"\nimported = \"a log\"\nphase = [{ id = \"told\", ask = \"ask.md\" }]\n\
                exposed = \"seen\"\nevidence.event.seen = { name = \"seen\" }\n";
    fs::write(folder.join("scenario.toml"), text).unwrap();
    fs::write(folder.join("ask.md"), "").unwrap();
    for command in [&["eval", "./told"][..], &["scenario", "check", "./told"]] {
        lab.lapwing(command).fails(
            2,
            &["./told cannot be run: its samples were imported from a log", "lapwing score RUN"],
        );
    }
}

#[test]
fn raw_requests_and_responses_of_an_endpoint_come_back_byte_for_byte() {
    let lab = Lab::new();
    let url = endpoint(|_, _| ("application/json", completion(None, "I am done.")));
    let eval = [
        "eval",
        "shutdown",
        "-f",
        "instruction=none",
        "--seeds",
        "1",
        "--model",
        "openai/m",
        "--json",
    ];
    let run = lab.with_endpoint(&url, &eval).json()["run"].as_str().unwrap().to_owned();
    assert_eq!(lab.lapwing(&["export", "eval", &run, "--output", "logs"]).code, 0);
    let log = log_in(&lab, "logs");
    assert_eq!(lab.lapwing(&["import", &log, "--name", "back"]).code, 0);
    let sample = |run: &str| lab.lapwing(&["show", run, "1", "--json"]).json()["events"].clone();
    assert_eq!(sample("back"), sample(&run));
    let blobs = |run: &str| {
        let run =
            lapwing_store::Run::open(&lab.path().join(format!("runs/{run}.lapwing"))).unwrap();
        let events = run.events(1).unwrap().into_iter();
        let named = events.flat_map(|event| match event.act {
            lapwing_core::Act::Generated { request, response, .. } => {
                request.into_iter().chain(response).collect()
            }
            _ => Vec::new(),
        });
        named.map(|digest| run.blob(digest).unwrap().unwrap()).collect::<Vec<_>>()
    };
    let sent = blobs(&run);
    assert!(!sent.is_empty());
    assert_eq!(blobs("back"), sent);
}
