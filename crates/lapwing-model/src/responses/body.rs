//! The request: a head, every message as one or more items, a tail.

use lapwing_core::{GenerateConfig, Message, Part, Reasoning, Request, ToolCall, ToolSpec};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The setting that the format does not have, and why.
pub(crate) fn refused(config: &GenerateConfig) -> Option<(&'static str, &'static str)> {
    match config {
        _ if config.seed.is_some() => {
            Some(("--seed", "the Responses API has no seed; openai/NAME does"))
        }
        _ if config.logprobs => Some(("--logprobs", "openai/NAME does")),
        _ if !config.stop.is_empty() => {
            Some(("--stop", "the Responses API has no stop sequences; openai/NAME does"))
        }
        _ if config.reasoning_tokens.is_some() => {
            Some(("--reasoning-tokens", "it takes --reasoning-effort"))
        }
        _ => None,
    }
}

/// The body for the model `id`.
pub(crate) fn segments(id: &str, request: &Request, stream: bool) -> Result<Vec<String>, String> {
    if matches!(request.messages.last(), Some(Message::Assistant { .. })) {
        return Err("it cannot continue an assistant's message".to_owned());
    }
    let mut segments = vec![head(id, &request.config)];
    let mut is_first = true;
    for message in &request.messages {
        let items = items(message);
        let comma = if is_first || items.is_empty() { "" } else { "," };
        is_first &= items.is_empty();
        segments.push(format!("{comma}{}", items.join(",")));
    }
    segments.push(tail(&request.tools, stream));
    Ok(segments)
}

fn head(id: &str, config: &GenerateConfig) -> String {
    // Models that do not reason refuse to be asked for it.
    let reasons = config.reasoning_effort.is_some() || is_reasoning_model(id);
    let effort = config.reasoning_effort;
    let reasoning = effort.map(|effort| json!({ "effort": effort.word(), "summary": "auto" }));
    let settings = [
        ("model", Some(json!(id))),
        ("store", Some(json!(false))),
        ("include", reasons.then(|| json!(["reasoning.encrypted_content"]))),
        ("temperature", config.temperature.map(Value::from)),
        ("top_p", config.top_p.map(Value::from)),
        ("max_output_tokens", config.max_tokens.map(Value::from)),
        ("reasoning", reasoning),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let object = Value::Object(settings.collect::<Map<_, _>>()).to_string();
    format!(r#"{},"input":["#, &object[..object.len() - 1])
}

fn is_reasoning_model(id: &str) -> bool {
    let is_o_series = id.starts_with('o') && id[1..].starts_with(|c: char| c.is_ascii_digit());
    is_o_series || (id.starts_with("gpt-5") && !id.contains("chat"))
}

fn tail(tools: &[ToolSpec], stream: bool) -> String {
    let mut tail = "]".to_owned();
    if !tools.is_empty() {
        let tools = tools.iter().map(|ToolSpec { name, description, parameters }| {
            json!({ "type": "function", "name": name, "description": description, "parameters": parameters, "strict": false })
        });
        tail = format!(r#"],"tools":{}"#, tools.collect::<Value>());
    }
    if stream {
        tail.push_str(r#","stream":true"#);
    }
    tail.push('}');
    tail
}

fn items(message: &Message) -> Vec<String> {
    match message {
        Message::System { text } => vec![json!({ "role": "system", "content": text }).to_string()],
        Message::User { text } => vec![json!({ "role": "user", "content": text }).to_string()],
        Message::Tool { call_id, name: _, text } => {
            vec![
                json!({ "type": "function_call_output", "call_id": call_id, "output": text })
                    .to_string(),
            ]
        }
        Message::Assistant { parts } => parts.iter().filter_map(item).collect(),
    }
}

fn item(part: &Part) -> Option<String> {
    match part {
        Part::Text { text } => {
            let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
            Some(json!({ "type": "message", "role": "assistant", "content": content }).to_string())
        }
        Part::ToolCall(ToolCall { id, name, arguments }) => {
            let call = json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments });
            Some(call.to_string())
        }
        Part::Reasoning(
            Reasoning::Full { opaque, .. }
            | Reasoning::Summary { opaque, .. }
            | Reasoning::Hidden { opaque },
        ) => opaque.as_deref().filter(|opaque| is_reasoning_item(opaque)).map(str::to_owned),
    }
}

/// Whether a block is an item of this format that can be sent back: without what is encrypted in it, the provider would look it
/// up among what it stores, which is nothing.
fn is_reasoning_item(opaque: &str) -> bool {
    #[derive(Deserialize)]
    struct Item {
        r#type: String,
        encrypted_content: String,
    }
    serde_json::from_str::<Item>(opaque)
        .is_ok_and(|item| item.r#type == "reasoning" && !item.encrypted_content.is_empty())
}
