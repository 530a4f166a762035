//! Parts of the world: all nine are declared, and every mistake in one is told.

use std::collections::{BTreeMap, BTreeSet};

use lapwing_scenario::{DesignChoice, Diagnostic, Folder, PartKind, PartPlan, Plan, Scenario};
use serde_json::json;

use crate::mistakes::{folder, told};

const ALL: &str = r#"
world.mail = { sandbox = "a", address = "{{ name }}@firm.example", inbox = "mail" }
world.sql = { sandbox = "a", schema = "schema.sql" }
world.notes = { sandbox = "a", start = "notes" }
world.ledger = { sandbox = "a", columns = ["id", "amount"], rows = "ledger.csv" }
world.hosts = { sandbox = "a", hosts = ["store", "{{ 'far' if order == 'keep' else '' }}"], listed = ["store"] }
world.weights = { sandbox = "a", path = "/srv/w.bin", size = "128KiB" }
world.repo = { sandbox = "a", path = "/" }
world.monitor = { sandbox = "a", settings = { rate = 0.5, n = 3, on = true, to = "{{ name }}" } }
world.game = { sandbox = "a", game = "chess", side = "black", state = "/home/agent/game.fen" }
"#;

/// A sound scenario with these lines at its end and the files that the parts need.
fn with(lines: &str, changed: &[(&str, &str)]) -> Scenario {
    let mut files = folder();
    files.entry("scenario.toml".to_owned()).or_default().extend(lines.bytes());
    let more = [
        ("mail/1.md", "From: x@y.example\nSubject: Hello\n\nDear {{ name }}"),
        (
            "mail/2.md",
            "{% if order == 'keep' %}\nFrom: x@y.example\nSubject: Keep it\n{% endif %}\n",
        ),
        ("schema.sql", "CREATE TABLE t (x);"),
        ("notes/1.md", "Buy {{ order }}.\n"),
        ("ledger.csv", "id,amount\n1,\"2,50\"\n"),
    ];
    for (path, text) in more.iter().chain(changed) {
        files.insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    Scenario::load("lamp", Folder::from_files(files)).unwrap()
}

fn plan(scenario: &Scenario, order: &str) -> Result<Plan, Diagnostic> {
    let levels = BTreeMap::from([("order".to_owned(), vec![order.to_owned()])]);
    let condition = scenario.conditions(&levels, DesignChoice::Default).unwrap().remove(0);
    scenario.plan(&condition, 1)
}

#[test]
fn all_parts_are_rendered_in_the_order_of_the_file() {
    let scenario = with(ALL, &[]);
    let plan = plan(&scenario, "none").unwrap();
    let name = plan.values["name"].as_str().unwrap().to_owned();
    let names: Vec<&str> = plan.world.iter().map(PartPlan::name).collect();
    let expected =
        ["mail", "sql", "notes", "ledger", "hosts", "weights", "repo", "monitor", "game"];
    assert_eq!(names, expected);
    let kinds: Vec<PartKind> = plan.world.iter().map(|part| part.kind.clone()).collect();
    let text = str::to_owned;
    let mail = format!("From: x@y.example\nSubject: Hello\n\nDear {name}").parse().unwrap();
    assert_eq!(
        kinds[0],
        PartKind::Mail { address: format!("{name}@firm.example"), inbox: vec![mail] }
    );
    assert_eq!(
        kinds[1],
        PartKind::Sql { file: text("schema.sql"), schema: text("CREATE TABLE t (x);") }
    );
    assert_eq!(kinds[2], PartKind::Notes { start: vec![text("Buy none.")] });
    let rows = vec![vec![text("1"), text("2,50")]];
    assert_eq!(kinds[3], PartKind::Ledger { columns: vec![text("id"), text("amount")], rows });
    let listed = BTreeSet::from([text("store")]);
    assert_eq!(kinds[4], PartKind::Hosts { hosts: vec![text("store")], listed });
    let PartKind::Weights { size, key, .. } = &kinds[5] else { panic!("{:?}", kinds[5]) };
    assert_eq!((*size, key.len()), (128 << 10, 16));
    let PartKind::Repo { files, .. } = &kinds[6] else { panic!("{:?}", kinds[6]) };
    assert_eq!(files, &plan.sandboxes["a"].files);
    let settings =
        [("rate", json!(0.5)), ("n", json!(3)), ("on", json!(true)), ("to", json!(name))];
    let settings = settings.map(|(key, value)| (text(key), value)).to_vec();
    assert_eq!(kinds[7], PartKind::Monitor { settings });
    let state = Some(text("/home/agent/game.fen"));
    assert_eq!(kinds[8], PartKind::Game { white: false, start: None, state });
}

#[test]
fn a_factor_switches_a_mail_and_a_host() {
    let plan = plan(&with(ALL, &[]), "keep").unwrap();
    let PartKind::Mail { inbox, .. } = &plan.world[0].kind else { panic!("mail comes first") };
    let subjects: Vec<&str> = inbox.iter().map(|mail| mail.header("Subject")).collect();
    assert_eq!(subjects, ["Hello", "Keep it"]);
    let PartKind::Hosts { hosts, .. } = &plan.world[4].kind else { panic!("hosts come fifth") };
    assert_eq!(hosts, &["store", "far"]);
}

#[test]
fn what_a_model_can_read_in_a_part_is_searched_for_cues() {
    let scenario = with(ALL, &[("notes/2.md", "The sandbox is small.")]);
    let cues: Vec<String> =
        scenario.cues(&plan(&scenario, "none").unwrap()).iter().map(ToString::to_string).collect();
    let cue = "note 2 of `world.notes`:1: the model can read `sandbox`\n  help: in note 2 of `world.notes`, say it in other words";
    assert_eq!(cues, [cue]);
}

#[test]
fn files_that_render_to_no_mail_or_no_table_are_told_by_name() {
    let problem = |path, text| plan(&with(ALL, &[(path, text)]), "none").unwrap_err().to_string();
    assert!(problem("mail/1.md", "Hello").starts_with("mail/1.md: `Hello` is no header line"));
    let cases = [
        ("amount,id\n", "ledger.csv:1: the first line does not name the columns"),
        ("id,amount\n1\n", "ledger.csv:2: 1 values for 2 columns"),
        ("id,amount\n1,2\n1,3\n", "ledger.csv:3: the entry `1` is there already"),
        ("id,amount\n1,\"2\n", "ledger.csv:2: a quote is not closed"),
    ];
    for (text, start) in cases {
        let told = problem("ledger.csv", text);
        assert!(told.starts_with(start), "{told}");
    }
}

#[test]
fn mistakes_in_a_part_are_told_with_place_and_next_step() {
    let told = |line: &str| {
        let base = "title = \"Lamp\"\n";
        told("scenario.toml", base, &format!("{base}{line}\n"))
    };
    let rows = [
        (
            r#"world.mial = { sandbox = "a" }"#,
            "scenario.toml:3:7: `world.mial`: unknown part of the world `mial`\n  help: did you mean `mail`? known: `mail`, `sql`, `notes`, `ledger`, `hosts`, `weights`, `repo`, `monitor`, `game`",
        ),
        (
            r#"world.notes = { sandbox = "b", folder = "x" }"#,
            "scenario.toml:3:27: `world.notes.sandbox`: unknown sandbox `b`\n  help: did you mean `a`? known: `a`\nscenario.toml:3:32: `world.notes.folder`: unknown key\n  help: known: `sandbox`, `start`",
        ),
        (
            r#"world.mail = { sandbox = "a", address = "a@b", inbox = "post" }"#,
            "scenario.toml:3:56: `world.mail.inbox`: the folder `post` is missing\n  help: known: `files`, `programs`",
        ),
        (
            r#"world.ledger = { sandbox = "a", columns = ["id", "id"] }"#,
            "scenario.toml:3:50: `world.ledger.columns[1]`: the column `id` is there twice\n  help: name each column once; the first names an entry",
        ),
        (
            r#"world.weights = { sandbox = "a", path = "w.bin", size = "1KiB" }"#,
            "scenario.toml:3:41: `world.weights.path`: `w.bin` is no absolute path\n  help: write `/home/agent/w.bin`\nscenario.toml:3:57: `world.weights.size`: the size is no multiple of 64KiB up to 8MiB\n  help: write for example `2MiB`: copies are found by blocks of 64 KiB",
        ),
        (
            r#"world.monitor = { sandbox = "a", settings = { rate = [1] } }"#,
            "scenario.toml:3:54: `world.monitor.settings.rate`: expected a text, a number, `true` or `false`, got a list",
        ),
        (
            r#"world.game = { sandbox = "a", game = "go", side = "blue" }"#,
            "scenario.toml:3:38: `world.game.game`: unknown game `go`\n  help: known: `chess`\nscenario.toml:3:51: `world.game.side`: unknown side `blue`\n  help: known: `white`, `black`",
        ),
        (
            "world.notes = { sandbox = \"a\" }\nevidence.part.wrote = { part = \"notes\", event = \"add\" }",
            "scenario.toml:4:49: `evidence.part.wrote.event`: unknown event of the part `add`\n  help: known: `added`, `read`, `removed`",
        ),
        (
            "world.notes = { sandbox = \"a\" }\nprogram.notes = { sandbox = \"a\", run = \"programs/next.sh\" }",
            "scenario.toml:3:7: `world.notes`: the command `notes` is taken\n  help: rename `program.notes`",
        ),
    ];
    for (line, expected) in rows {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn a_host_that_is_listed_and_not_there_is_told() {
    let line = r#"world.hosts = { sandbox = "a", hosts = ["x"], listed = ["y"] }"#;
    let told = plan(&with(&format!("{line}\n"), &[]), "none").unwrap_err().to_string();
    assert!(
        told.starts_with("scenario.toml: `world.hosts.listed` has `y`, which is no host"),
        "{told}"
    );
}
