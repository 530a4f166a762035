//! What would read as an absence, or break only in a run, is a mistake at once.

use std::collections::BTreeMap;

use lapwing_scenario::{DesignChoice, Folder, Scenario};

use crate::mistakes::{folder, told};

/// What loading says of the folder with these files changed.
fn loaded(changed: &[(&str, &str)]) -> Result<Scenario, String> {
    let mut files = folder();
    for (path, text) in changed {
        files.insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    Scenario::load("lamp", Folder::from_files(files))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// What loading says once `lines` stand at the end of `scenario.toml`.
fn told_of(lines: &str) -> String {
    told("scenario.toml", "published = ", &format!("{lines}\npublished = "))
}

#[test]
fn what_is_looked_for_is_no_template() {
    let rows = [
        (
            "evidence.event.named = { name = \"seen\", where = \"by == '{{ name }}'\" }",
            "scenario.toml:18:57: `evidence.event.named.where`",
        ),
        (
            "evidence.text.named = { of = \"answer\", matches = \"{{ name }}\" }",
            "`evidence.text.named.matches`",
        ),
        (
            "evidence.call.named = { tool = \"bash\", except = \"{% if x %}\" }",
            "`evidence.call.named.except`",
        ),
        (
            "evidence.file.named = { path = [\"/x\", \"/{{ name }}\"] }",
            "`evidence.file.named.path[1]`",
        ),
        ("measure.m = \"first(seen).by == '{{ name }}'\"", "`measure.m`"),
    ];
    let told_to = ": this is no template: evidence cannot depend on draws\n  help: give the thing a fixed name or mark, or let a program emit a field and ask for that";
    for (lines, place) in rows {
        let told = told_of(lines);
        assert!(told.contains(&format!("{place}{told_to}")), "{place} is not in:\n{told}");
    }
}

#[test]
fn a_program_backstage_names_its_interpreter() {
    let bare = [("programs/next.sh", "say hello\n")];
    assert_eq!(
        loaded(&bare).unwrap_err(),
        "scenario.toml:11:39: `program.next.run`: `programs/next.sh` does not begin with `#!`\n  help: write the interpreter on its first line: `#!/bin/sh`"
    );
    let scenario = String::from_utf8(folder().remove("scenario.toml").unwrap()).unwrap();
    let with_phase = |phase: &str| {
        let scenario = scenario.replace("end = \"out\" }]", &format!("end = \"out\" }}, {phase}]"));
        let files = [("scenario.toml", scenario.as_str()), ("programs/grade.sh.j2", "{{ name }}")];
        loaded(&files).map_or_else(|told| told, |_| "sound".to_owned())
    };
    let backstage = with_phase("{ id = \"grade\", run = \"programs/grade.sh.j2\" }");
    let expected = "`phase[1].run`: `programs/grade.sh.j2` does not begin with `#!`";
    assert!(backstage.contains(expected), "{backstage}");
    let inside = "{ id = \"grade\", run = \"programs/grade.sh.j2\", inside = \"a\" }";
    assert_eq!(with_phase(inside), "sound");
}

#[test]
fn a_where_names_fields_that_the_event_of_the_part_has() {
    let ledger = "world.ledger = { sandbox = \"a\", columns = [\"id\", \"amount\"] }\nworld.notes = { sandbox = \"a\" }\n";
    let asked = |part: &str, event: &str, condition: &str| {
        told_of(&format!(
            "{ledger}evidence.part.p = {{ part = \"{part}\", event = \"{event}\", where = \"{condition}\" }}"
        ))
    };
    for (part, event, condition) in [
        ("ledger", "added", "amount == '3' and id != ''"),
        ("ledger", "shown", "id == '3'"),
        ("notes", "added", "n == 1 and program == 'notes'"),
    ] {
        assert_eq!(asked(part, event, condition), "sound");
    }
    for (part, event, condition, expected) in [
        (
            "ledger",
            "added",
            "amout == '3'",
            "unknown field `amout`\n  help: did you mean `amount`? known: `id`, `amount`, `program`",
        ),
        (
            "notes",
            "added",
            "title == 'x'",
            "unknown field `title`\n  help: known: `n`, `text`, `program`",
        ),
        ("ledger", "listed", "id == '3'", "unknown field `id`\n  help: known: `program`"),
    ] {
        let told = asked(part, event, condition);
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
        assert!(told.contains("`evidence.part.p.where`"), "{told}");
    }
}

#[test]
fn a_host_name_is_one_label_of_letters_digits_and_hyphens() {
    let longest = "a".repeat(63);
    let plan = |hostname: &str| {
        let scenario = String::from_utf8(folder().remove("scenario.toml").unwrap()).unwrap();
        let hostname = format!("sandbox.a = {{ hostname = \"{hostname}\", ");
        let scenario = scenario.replace("sandbox.a = { ", &hostname);
        let scenario = loaded(&[("scenario.toml", &scenario)]).unwrap();
        let conditions = scenario.conditions(&BTreeMap::new(), DesignChoice::Default);
        let plan = scenario.plan(&conditions.unwrap()[0], 1);
        plan.map(|_| ()).map_err(|problem| problem.to_string())
    };
    for sound in ["{{ name }}", "desk-4", "4", &longest] {
        assert_eq!(plan(sound), Ok(()));
    }
    for (unsound, shown) in [
        ("{{ name }} desk", None),
        ("", Some("``")),
        ("desk_4", Some("`desk_4`")),
        ("-desk", Some("`-desk`")),
        ("desk.firm.example", Some("`desk.firm.example`")),
        (&format!("{longest}a"), None),
    ] {
        let told = plan(unsound).unwrap_err();
        assert!(told.contains("`sandbox.a.hostname`: `"), "{told}");
        assert!(told.contains(&format!("{} is no host name", shown.unwrap_or("`"))), "{told}");
        assert!(told.contains("1 to 63"), "{told}");
    }
}

#[test]
fn a_missing_rubric_is_to_be_made_and_a_missing_exposed_names_evidence_that_is_there() {
    let judge = "evidence.judge.lies = { over = \"answer\", rubric = \"rubrics/claims.toml\", label = \"yes\" }";
    let told_of_rubric = told_of(judge);
    let expected = "`evidence.judge.lies.rubric`: the file `rubrics/claims.toml` is missing\n  help: make it, `rubrics/NAME.toml` with `question`, `opposite`, `yes` and `not`";
    assert!(told_of_rubric.contains(expected), "{told_of_rubric}");
    let told = told("scenario.toml", "exposed = \"seen\"\n", "");
    assert!(told.contains("`exposed` is missing\n  help: add `exposed = \"seen\"`"), "{told}");
}
