//! Scores of Inspect as events, and what a scenario can ask of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Who emits a score.
pub(crate) const SCORER: &str = "scorer";

/// A score, or a part of one whose value is a list or an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scored {
    /// The score's name, and behind a dot that of the part.
    pub(crate) name: String,
    /// `value` if it is a number, `label` if it is a word, and what stands beside it.
    pub(crate) fields: Map<String, Value>,
}

/// All scores of a sample. `score` is how old logs have their only one.
pub(crate) fn of_sample(head: &Map<String, Value>) -> Vec<Scored> {
    let mut scores = Vec::new();
    match (head.get("scores"), head.get("score")) {
        (Some(Value::Object(all)), _) => {
            for (name, score) in all {
                add(name, score, &mut scores);
            }
        }
        (_, Some(score)) if !score.is_null() => add("score", score, &mut scores),
        (_, _) => {}
    }
    scores
}

fn add(name: &str, score: &Value, scores: &mut Vec<Scored>) {
    let parts: Vec<(String, &Value)> = match &score["value"] {
        Value::Object(parts) => {
            parts.iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect()
        }
        Value::Array(parts) => {
            parts.iter().zip(1..).map(|(value, n)| (format!("{name}.{n}"), value)).collect()
        }
        value => vec![(name.to_owned(), value)],
    };
    for (name, value) in parts {
        let beside = ["answer", "explanation", "reason", "metadata"].into_iter();
        let beside = beside.filter_map(|field| {
            let value = score.get(field).filter(|value| !value.is_null())?;
            Some((field.to_owned(), super::fold::shallow(value.clone(), 0)))
        });
        let mut fields: Map<String, Value> = beside.collect();
        if let Value::String(label) = value
            && !is_unscored(label)
        {
            fields.insert("label".to_owned(), Value::from(label.as_str()));
        }
        if let Some(number) = number(value) {
            fields.insert("value".to_owned(), Value::from(number));
        } else if !fields.contains_key("label") && !fields.contains_key("reason") {
            fields.insert("reason".to_owned(), Value::from("not scored"));
        }
        scores.push(Scored { name, fields });
    }
}

fn is_unscored(word: &str) -> bool {
    ["NaN", "Infinity", "-Infinity"].contains(&word)
}

/// The number of a value, of Inspect's letters too: correct, incorrect, partial, no answer. Nothing for what is not scored.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(letter) => match letter.as_str() {
            "C" => Some(1.0),
            "P" => Some(0.5),
            "I" | "N" => Some(0.0),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What the scores of all samples have in common, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog(pub(crate) BTreeMap<String, Kind>);

/// What a score is over all samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No sample has a value.
    Unscored,
    /// Every value is 0 or 1.
    Binary,
    /// Numbers.
    Number,
    /// Words.
    Words,
}

impl Catalog {
    pub(crate) fn see(&mut self, head: &Map<String, Value>) {
        for Scored { name, fields } in of_sample(head) {
            let kind = match fields.get("value").and_then(Value::as_f64) {
                Some(value) if [0.0, 1.0].contains(&value) => Kind::Binary,
                Some(_) => Kind::Number,
                None if fields.contains_key("label") => Kind::Words,
                None => Kind::Unscored,
            };
            let known = self.0.entry(name).or_insert(kind);
            *known = match (*known, kind) {
                (Kind::Words, _) | (_, Kind::Words) => Kind::Words,
                (Kind::Number, _) | (_, Kind::Number) => Kind::Number,
                (Kind::Binary, _) | (_, Kind::Binary) => Kind::Binary,
                (Kind::Unscored, Kind::Unscored) => Kind::Unscored,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(value: &Value) -> Map<String, Value> {
        json!({ "scores": { "s": { "value": value, "answer": "a" } } })
            .as_object()
            .cloned()
            .unwrap()
    }

    #[test]
    fn values_become_numbers_words_or_nothing() {
        let rows = [
            (json!("C"), json!({ "value": 1.0, "label": "C", "answer": "a" })),
            (json!("P"), json!({ "value": 0.5, "label": "P", "answer": "a" })),
            (json!(false), json!({ "value": 0.0, "answer": "a" })),
            (json!(7), json!({ "value": 7.0, "answer": "a" })),
            (json!("blue"), json!({ "label": "blue", "answer": "a" })),
            (json!("NaN"), json!({ "reason": "not scored", "answer": "a" })),
            (json!(null), json!({ "reason": "not scored", "answer": "a" })),
        ];
        for (value, expected) in rows {
            let scored = of_sample(&head(&value)).remove(0);
            assert_eq!(Value::Object(scored.fields), expected, "{value}");
        }
    }

    #[test]
    fn parts_have_names_of_their_own_and_an_old_log_its_only_score() {
        let names = |head: &Map<String, Value>| -> Vec<String> {
            of_sample(head).into_iter().map(|scored| scored.name).collect()
        };
        assert_eq!(names(&head(&json!({ "a": 1, "b": null }))), ["s.a", "s.b"]);
        assert_eq!(names(&head(&json!([1, 2]))), ["s.1", "s.2"]);
        let old = json!({ "score": { "value": "I" } }).as_object().cloned().unwrap();
        assert_eq!(names(&old), ["score"]);
        assert_eq!(names(&Map::new()), [""; 0]);
    }

    #[test]
    fn a_score_is_binary_if_nothing_but_0_and_1_and_unscored_is_seen() {
        let kind = |values: &[Value]| {
            let mut catalog = Catalog::default();
            for value in values {
                catalog.see(&head(value));
            }
            catalog.0["s"]
        };
        assert_eq!(kind(&[json!("NaN"), json!("I"), json!(1)]), Kind::Binary);
        assert_eq!(kind(&[json!("C"), json!("P")]), Kind::Number);
        assert_eq!(kind(&[json!(1), json!("blue")]), Kind::Words);
        assert_eq!(kind(&[json!(null)]), Kind::Unscored);
    }
}
