//! The request body, built from segments, so that a conversation's shared beginning is stored once.

use lapwing_core::{Message, Part, Reasoning, Request, ToolSpec};
use serde_json::{Map, Value, json};

use super::wire::ReasoningMembers;

/// Where servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI itself: the limit is `max_completion_tokens`.
    Official,
    /// Everything else: the limit is `max_tokens`.
    Compatible,
}

/// The body for the model `id`: a head, every message, a tail. Their concatenation is one JSON object.
pub(super) fn segments(id: &str, request: &Request, dialect: Dialect) -> Vec<Vec<u8>> {
    let mut segments = vec![head(id, request, dialect)];
    for (index, message) in request.messages.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        segments.push(format!("{comma}{}", self::message(message)));
    }
    segments.push(tail(&request.tools));
    segments.into_iter().map(String::into_bytes).collect()
}

fn head(id: &str, request: &Request, dialect: Dialect) -> String {
    let limit = match dialect {
        Dialect::Official => "max_completion_tokens",
        Dialect::Compatible => "max_tokens",
    };
    let config = &request.config;
    let settings = [
        ("model", Some(json!(id))),
        ("temperature", config.temperature.map(Value::from)),
        ("top_p", config.top_p.map(Value::from)),
        (limit, config.max_tokens.map(Value::from)),
        ("seed", config.seed.map(Value::from)),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let object = Value::Object(settings.collect::<Map<_, _>>()).to_string();
    format!(r#"{},"messages":["#, &object[..object.len() - 1])
}

fn tail(tools: &[ToolSpec]) -> String {
    if tools.is_empty() {
        return "]}".to_owned();
    }
    let tools: Value = tools
        .iter()
        .map(|ToolSpec { name, description, parameters }| {
            let function =
                json!({ "name": name, "description": description, "parameters": parameters });
            json!({ "type": "function", "function": function })
        })
        .collect();
    format!(r#"],"tools":{tools}}}"#)
}

fn message(message: &Message) -> String {
    match message {
        Message::System { text } => json!({ "role": "system", "content": text }).to_string(),
        Message::User { text } => json!({ "role": "user", "content": text }).to_string(),
        Message::Tool { call_id, name: _, text } => {
            json!({ "role": "tool", "tool_call_id": call_id, "content": text }).to_string()
        }
        Message::Assistant { parts } => assistant(message, parts),
    }
}

fn assistant(message: &Message, parts: &[Part]) -> String {
    let calls: Vec<_> = message
        .tool_calls()
        .map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        })
        .collect();
    let mut object = json!({ "role": "assistant", "content": message.text() });
    if !calls.is_empty() {
        if message.text().is_empty() {
            object["content"] = Value::Null;
        }
        object["tool_calls"] = Value::Array(calls);
    }
    let object = object.to_string();
    let opaque = parts.iter().filter_map(|part| match part {
        Part::Reasoning(
            Reasoning::Full { opaque, .. }
            | Reasoning::Summary { opaque, .. }
            | Reasoning::Hidden { opaque },
        ) => opaque.as_deref(),
        Part::Text { .. } | Part::ToolCall(_) => None,
    });
    // What the server calls its reasoning goes back under the same names, byte for byte; another provider's block does not.
    let members: String =
        opaque.filter_map(ReasoningMembers::parse).map(|members| members.joined()).collect();
    format!("{}{members}}}", &object[..object.len() - 1])
}

#[cfg(test)]
mod tests {
    use lapwing_core::{GenerateConfig, ToolCall};

    use super::*;

    fn text(request: &Request, dialect: Dialect) -> String {
        String::from_utf8(segments("m", request, dialect).concat()).unwrap()
    }

    #[test]
    fn a_whole_request_is_the_json_that_servers_expect() {
        let call =
            ToolCall { id: "c1".into(), name: "bash".into(), arguments: "{\"cmd\": oops".into() };
        let request = Request {
            messages: vec![
                Message::System { text: "be brief".into() },
                Message::User { text: "list".into() },
                Message::Assistant { parts: vec![Part::ToolCall(call)] },
                Message::Tool { call_id: "c1".into(), name: "bash".into(), text: "a\nb".into() },
                Message::assistant("two files"),
            ],
            tools: vec![ToolSpec {
                name: "bash".into(),
                description: "Runs a command.".into(),
                parameters: json!({ "type": "object" }),
            }],
            config: GenerateConfig {
                temperature: Some(0.5),
                top_p: None,
                max_tokens: Some(64),
                seed: Some(7),
            },
            ..Request::default()
        };
        let expected = json!({
            "model": "m", "temperature": 0.5, "max_tokens": 64, "seed": 7,
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "list" },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "c1", "type": "function", "function": { "name": "bash", "arguments": "{\"cmd\": oops" } },
                ] },
                { "role": "tool", "tool_call_id": "c1", "content": "a\nb" },
                { "role": "assistant", "content": "two files" },
            ],
            "tools": [
                { "type": "function", "function": { "name": "bash", "description": "Runs a command.", "parameters": { "type": "object" } } },
            ],
        });
        let sent: Value = serde_json::from_str(&text(&request, Dialect::Compatible)).unwrap();
        assert_eq!(sent, expected);
    }

    #[test]
    fn only_openai_itself_is_given_the_new_name_of_the_limit() {
        let request = Request {
            config: GenerateConfig { max_tokens: Some(5), ..GenerateConfig::default() },
            ..Request::default()
        };
        assert!(text(&request, Dialect::Official).contains(r#""max_completion_tokens":5"#));
        assert!(text(&request, Dialect::Compatible).contains(r#""max_tokens":5"#));
    }

    #[test]
    fn a_longer_conversation_shares_the_segments_of_its_beginning() {
        let mut request =
            Request { messages: vec![Message::User { text: "1".into() }], ..Request::default() };
        let short = segments("m", &request, Dialect::Compatible);
        request.messages.push(Message::assistant("2"));
        let long = segments("m", &request, Dialect::Compatible);
        assert_eq!(long[..2], short[..2]);
        assert_eq!(long[3], short[2]);
    }

    #[test]
    fn reasoning_goes_back_byte_for_byte_and_foreign_blocks_do_not() {
        let reasoning = |opaque: &str| {
            let opaque = Some(opaque.to_owned());
            let parts = vec![Part::Reasoning(Reasoning::Full { text: "hm".into(), opaque })];
            message(&Message::Assistant { parts })
        };
        assert_eq!(
            reasoning(r#"{"reasoning_content":"h\u006d"}"#),
            r#"{"content":"","role":"assistant","reasoning_content":"h\u006d"}"#
        );
        for foreign in ["a signature", r#"{"role":"system"}"#] {
            assert_eq!(reasoning(foreign), r#"{"content":"","role":"assistant"}"#);
        }
    }
}
