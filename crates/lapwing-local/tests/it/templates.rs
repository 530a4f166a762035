//! Chat templates, against what `fixtures/templates.py` recorded of `transformers`.

use std::fs;
use std::path::Path;

use lapwing_local::{Chat, ChatTemplate, TemplateError};
use minijinja::Value;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Goldens {
    special: serde_json::Value,
    now: String,
    cases: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    template: String,
    messages: Vec<Value>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    variables: std::collections::BTreeMap<String, Value>,
    #[serde(default)]
    continues: bool,
    rendered: Rendered,
}

#[derive(Deserialize)]
struct Rendered {
    text: Option<String>,
    error: Option<String>,
    message: Option<String>,
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn template(config: &serde_json::Value, source: Option<&str>) -> Result<ChatTemplate, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    if let Some(source) = source {
        fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
    }
    let loaded = ChatTemplate::load(folder.path()).map_err(|error| error.to_string())?;
    loaded.ok_or_else(|| "none".to_owned())
}

#[test]
fn conversations_are_rendered_as_transformers_renders_them() {
    let text = fs::read_to_string(fixtures().join("templates.json")).unwrap();
    let Goldens { special, now, cases } = serde_json::from_str(&text).unwrap();
    let now =
        now.parse::<jiff::civil::DateTime>().unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    for (index, golden) in cases.into_iter().enumerate() {
        let name = format!("{index}: {}", golden.template);
        let path = fixtures().join("templates").join(format!("{}.jinja", golden.template));
        let template = template(&special, Some(&fs::read_to_string(path).unwrap())).unwrap();
        let chat = Chat {
            messages: golden.messages,
            tools: golden.tools,
            variables: golden.variables.into_iter().collect(),
            continues: golden.continues,
        };
        let Rendered { text, error, message } = golden.rendered;
        match (template.render(&chat, &now), error.as_deref()) {
            (Ok(ours), _) => assert_eq!(Some(ours), text, "{name}"),
            (Err(TemplateError::Refused(ours)), Some("TemplateError")) => {
                assert_eq!(Some(ours), message, "{name}");
            }
            // What the template gets wrong itself fails in both.
            (Err(TemplateError::Failed(_)), Some(kind)) if kind != "TemplateError" => {}
            (Err(ours), _) => panic!("{name}: {ours}"),
        }
    }
}

#[test]
fn a_template_for_tools_is_taken_where_there_are_tools() {
    let config = json!({ "chat_template": [
        { "name": "default", "template": "plain" }, { "name": "tool_use", "template": "tools {{ bos_token }}" },
    ], "bos_token": { "content": "<s>", "special": true } });
    let template = template(&config, None).unwrap();
    let now = jiff::Zoned::now();
    let mut chat = Chat::default();
    assert_eq!(template.render(&chat, &now).unwrap(), "plain");
    chat.tools = vec![Value::from_pairs([("type", "function")])];
    assert_eq!(template.render(&chat, &now).unwrap(), "tools <s>");
}

#[test]
fn a_file_of_its_own_goes_before_the_tokenizers_settings() {
    let template = template(&json!({ "chat_template": "old" }), Some("new\n")).unwrap();
    assert_eq!(template.render(&Chat::default(), &jiff::Zoned::now()).unwrap(), "new");
}

#[test]
fn a_template_that_cannot_be_compiled_names_its_file_and_line() {
    let said = template(&json!({}), Some("a\n{% for %}")).err().unwrap();
    assert!(said.contains("chat_template.jinja: ") && said.contains("chat_template:2"), "{said}");
    assert_eq!(template(&json!({}), None).err().unwrap(), "none");
}
