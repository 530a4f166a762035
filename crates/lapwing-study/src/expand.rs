//! `each`: one table of the file stands for several.
//!
//! ```toml
//! [stage."base-{size}"]
//! each = { size = ["S", "M"] }
//! model = "{size}"
//! ```
//!
//! stands for `stage.base-S` and `stage.base-M`. A text that is nothing but `{name}` becomes the value itself, so that numbers stay numbers.

use toml::{Table, Value};

/// Groups of named tables in which `each` may stand.
const GROUPS: [&str; 3] = ["stage", "gate", "claim"];

/// The file with every `each` written out.
///
/// # Errors
/// The key that is wrong, and what is wrong with it.
pub(crate) fn expand(mut file: Table) -> Result<Table, (String, String)> {
    for group in GROUPS {
        let Some(Value::Table(tables)) = file.get_mut(group) else { continue };
        let mut expanded = Table::new();
        for (name, value) in std::mem::take(tables) {
            for (name, value) in copies(group, name, value)? {
                if expanded.insert(name.clone(), value).is_some() {
                    return Err((format!("{group}.{name}"), "this name is there twice".to_owned()));
                }
            }
        }
        *tables = expanded;
    }
    Ok(file)
}

/// Whether `name` of the file can become `made`.
pub(crate) fn is_made_by(name: &str, made: &str) -> bool {
    let mut rest = made;
    let mut parts = name.split('{');
    if let Some(first) = parts.next() {
        let Some(after) = rest.strip_prefix(first) else { return false };
        rest = after;
    }
    for part in parts {
        let Some((_, fixed)) = part.split_once('}') else { return false };
        match rest.find(fixed).filter(|_| !fixed.is_empty()) {
            Some(at) => rest = &rest[at + fixed.len()..],
            None if fixed.is_empty() => return true,
            None => return false,
        }
    }
    rest.is_empty()
}

fn copies(
    group: &str,
    name: String,
    mut value: Value,
) -> Result<Vec<(String, Value)>, (String, String)> {
    let Some(each) = value.as_table_mut().and_then(|table| table.remove("each")) else {
        return Ok(vec![(name, value)]);
    };
    let key = format!("{group}.{name}.each");
    let Value::Table(each) = each else {
        return Err((key, "write each = { NAME = [VALUES] }".to_owned()));
    };
    let mut copies = vec![(name, value)];
    for (word, values) in each {
        let Value::Array(values) = values else {
            return Err((key, format!("`{word}` must be a list")));
        };
        let hole = format!("{{{word}}}");
        if !copies.iter().all(|(name, _)| name.contains(&hole)) {
            return Err((
                key,
                format!("the name of the table must contain {hole}, or its copies had one name"),
            ));
        }
        copies = copies
            .iter()
            .flat_map(|(name, value)| {
                let hole = &hole;
                values
                    .iter()
                    .map(move |with| (name.replace(hole, &plain(with)), filled(value, hole, with)))
            })
            .collect();
    }
    Ok(copies)
}

fn filled(value: &Value, hole: &str, with: &Value) -> Value {
    match value {
        Value::String(text) if text == hole => with.clone(),
        Value::String(text) => Value::String(text.replace(hole, &plain(with))),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, hole, with)).collect())
        }
        Value::Table(table) => Value::Table(
            table.iter().map(|(key, value)| (key.clone(), filled(value, hole, with))).collect(),
        ),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            value.clone()
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.abs() < 0.01 => format!("{number:e}"),
        Value::Float(number) => number.to_string(),
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            serde_json::to_string(value).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_stands_for_each_combination_and_numbers_stay_numbers() {
        let text = r#"
            [stage."poison-{n}-{size}"]
            each = { n = [50, 100], size = ["S", "M"] }
            model = "{size}"
            data = { count = "{n}", label = "n = {n}" }
        "#;
        let file = expand(toml::from_str(text).unwrap()).unwrap();
        let stages = file["stage"].as_table().unwrap();
        let names: Vec<&String> = stages.keys().collect();
        assert_eq!(names, ["poison-100-M", "poison-100-S", "poison-50-M", "poison-50-S"]);
        let made =
            toml::from_str::<Table>("model = \"M\"\ndata = { count = 50, label = \"n = 50\" }")
                .unwrap();
        assert_eq!(stages["poison-50-M"], Value::Table(made));
    }

    #[test]
    fn copies_that_would_have_one_name_are_refused() {
        let text = "[stage.base]\neach = { size = [1] }\n";
        let (key, what) = expand(toml::from_str(text).unwrap()).unwrap_err();
        assert_eq!(key, "stage.base.each");
        assert_eq!(what, "the name of the table must contain {size}, or its copies had one name");
    }

    #[test]
    fn a_made_name_finds_the_table_that_made_it() {
        assert!(is_made_by("poison-{n}-{size}", "poison-50-M"));
        assert!(is_made_by("base", "base"));
        assert!(!is_made_by("base", "base-M"));
        assert!(!is_made_by("tag-{size}", "base-M"));
    }
}
