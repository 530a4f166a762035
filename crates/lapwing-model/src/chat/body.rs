//! The request body, built from segments, so that a conversation's shared beginning is stored once.

use lapwing_core::{GenerateConfig, Message, Part, Reasoning, Request, ToolCall, ToolSpec};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::wire::ReasoningMembers;
use crate::codec::{Codec, Dialect};

/// The setting that this model does not take, and why.
pub(crate) fn refused(
    codec: &Codec,
    config: &GenerateConfig,
) -> Option<(&'static str, &'static str)> {
    const SAMPLES_ITSELF: &str = "OpenAI's o-series samples as it likes";
    const NO_EFFORT: &str =
        "a model of this machine thinks as it was trained to; --max-tokens bounds what it says";
    let o_series = codec.dialect == Dialect::Official && is_o_series(&codec.id);
    match config {
        _ if o_series && config.temperature.is_some() => Some(("--temperature", SAMPLES_ITSELF)),
        _ if o_series && config.top_p.is_some() => Some(("--top-p", SAMPLES_ITSELF)),
        _ if o_series && !config.stop.is_empty() => {
            Some(("--stop", "OpenAI's o-series has no stop sequences"))
        }
        _ if o_series && config.logprobs => {
            Some(("--logprobs", "OpenAI's o-series gives no log-probabilities"))
        }
        _ if config.stop.len() > 4 && codec.dialect != Dialect::Local => {
            Some(("--stop", "at most four texts can be given"))
        }
        _ if codec.dialect == Dialect::Local && config.reasoning_effort.is_some() => {
            Some(("--reasoning-effort", NO_EFFORT))
        }
        _ if codec.dialect == Dialect::Local && config.reasoning_tokens.is_some() => {
            Some(("--reasoning-tokens", NO_EFFORT))
        }
        _ if config.reasoning_tokens.is_some() && codec.dialect != Dialect::Openrouter => {
            Some(("--reasoning-tokens", "it takes --reasoning-effort"))
        }
        _ => None,
    }
}

fn is_o_series(id: &str) -> bool {
    let mut chars = id.chars();
    chars.next() == Some('o') && chars.next().is_some_and(|c| c.is_ascii_digit())
}

/// The body: a head, every message, a tail. Their concatenation is one JSON object.
pub(crate) fn segments(
    codec: &Codec,
    request: &Request,
    stream: bool,
) -> Result<Vec<String>, String> {
    let continues = matches!(request.messages.last(), Some(Message::Assistant { .. }));
    if continues && !matches!(codec.dialect, Dialect::Vllm | Dialect::Local) {
        return Err("it cannot continue an assistant's message".to_owned());
    }
    let mut segments = vec![head(codec, &settings(codec, request))];
    for (index, message) in request.messages.iter().enumerate() {
        let mut segment = self::message(message);
        if index > 0 {
            segment.insert(0, ',');
        }
        segments.push(segment);
    }
    let mut tail = tail(&request.tools);
    if continues {
        tail.push_str(r#","add_generation_prompt":false,"continue_final_message":true"#);
    }
    if stream {
        tail.push_str(r#","stream":true,"stream_options":{"include_usage":true}"#);
    }
    tail.push('}');
    segments.push(tail);
    Ok(segments)
}

/// How to sample. A model of this process tells all that it can, and says the same again in a run that is made again.
fn settings(codec: &Codec, request: &Request) -> GenerateConfig {
    let mut config = request.config.clone();
    if codec.dialect == Dialect::Local {
        config.logprobs = true;
        config.seed = config.seed.or_else(|| Some(request.place.draw.sampling_seed(0)));
    }
    config
}

fn head(codec: &Codec, config: &GenerateConfig) -> String {
    let limit = match codec.dialect {
        Dialect::Official => "max_completion_tokens",
        Dialect::Openrouter | Dialect::Vllm | Dialect::Local | Dialect::Compatible => "max_tokens",
    };
    let tells_ids = matches!(codec.dialect, Dialect::Vllm | Dialect::Local);
    let effort = config.reasoning_effort.map(|effort| json!(effort.word()));
    let (effort, reasoning) = match codec.dialect {
        Dialect::Openrouter => {
            let tokens = config.reasoning_tokens.map(|tokens| json!({ "max_tokens": tokens }));
            (None, tokens.or(effort.map(|effort| json!({ "effort": effort }))))
        }
        Dialect::Official | Dialect::Vllm | Dialect::Local | Dialect::Compatible => (effort, None),
    };
    let settings = [
        ("model", Some(json!(codec.id))),
        ("temperature", config.temperature.map(Value::from)),
        ("top_p", config.top_p.map(Value::from)),
        (limit, config.max_tokens.map(Value::from)),
        ("seed", config.seed.map(Value::from)),
        ("stop", (!config.stop.is_empty()).then(|| json!(config.stop))),
        ("logprobs", config.logprobs.then_some(json!(true))),
        // vLLM's own: without ids a log-probability belongs to a text, not to a token.
        ("return_token_ids", (config.logprobs && tells_ids).then_some(json!(true))),
        ("reasoning_effort", effort),
        ("reasoning", reasoning),
    ];
    let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let object = Value::Object(settings.collect::<Map<_, _>>()).to_string();
    format!(r#"{},"messages":["#, &object[..object.len() - 1])
}

fn tail(tools: &[ToolSpec]) -> String {
    if tools.is_empty() {
        return "]".to_owned();
    }
    let tools: Value = tools
        .iter()
        .map(|ToolSpec { name, description, parameters }| {
            let function =
                json!({ "name": name, "description": description, "parameters": parameters });
            json!({ "type": "function", "function": function })
        })
        .collect();
    format!(r#"],"tools":{tools}"#)
}

/// A message on the wire. Its members stand in the order of their names, so that segments that were stored once are equal to these.
#[derive(Serialize)]
struct Sent<'a> {
    content: Option<&'a str>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<SentCall<'a>>,
}

#[derive(Serialize)]
struct SentCall<'a> {
    function: SentFunction<'a>,
    id: &'a str,
    r#type: &'static str,
}

#[derive(Serialize)]
struct SentFunction<'a> {
    arguments: &'a str,
    name: &'a str,
}

impl Sent<'_> {
    fn json(&self) -> String {
        #[expect(
            clippy::expect_used,
            reason = "texts are JSON, and memory takes all that is written"
        )]
        serde_json::to_string(self).expect("a message of texts is JSON")
    }
}

fn message(message: &Message) -> String {
    let sent =
        |role, text| Sent { content: Some(text), role, tool_call_id: None, tool_calls: Vec::new() };
    match message {
        Message::System { text } => sent("system", text).json(),
        Message::User { text } => sent("user", text).json(),
        Message::Tool { call_id, name: _, text } => {
            Sent { tool_call_id: Some(call_id), ..sent("tool", text) }.json()
        }
        Message::Assistant { parts } => assistant(message, parts),
    }
}

fn assistant(message: &Message, parts: &[Part]) -> String {
    let tool_calls: Vec<_> = message
        .tool_calls()
        .map(|ToolCall { id, name, arguments }| SentCall {
            function: SentFunction { arguments, name },
            id,
            r#type: "function",
        })
        .collect();
    let text = message.text();
    let is_silent = text.is_empty() && !tool_calls.is_empty();
    let content = (!is_silent).then_some(text.as_str());
    let mut object = Sent { content, role: "assistant", tool_call_id: None, tool_calls }.json();
    let opaque = parts.iter().filter_map(|part| match part {
        Part::Reasoning(
            Reasoning::Full { opaque, .. }
            | Reasoning::Summary { opaque, .. }
            | Reasoning::Hidden { opaque },
        ) => opaque.as_deref(),
        Part::Text { .. } | Part::ToolCall(_) => None,
    });
    // What the server calls its reasoning goes back under the same names, byte for byte; another provider's block does not.
    for members in opaque.filter_map(ReasoningMembers::parse) {
        object.insert_str(object.len() - 1, &members.joined());
    }
    object
}

#[cfg(test)]
mod tests {
    use lapwing_core::Effort;

    use super::*;
    use crate::codec::{Format, Streaming};

    fn codec(dialect: Dialect) -> Codec {
        let (format, streaming) = (Format::Openai, Streaming::Auto);
        Codec { format, dialect, id: "m".to_owned(), streaming }
    }

    fn sent(request: &Request, dialect: Dialect, stream: bool) -> Value {
        serde_json::from_str(&segments(&codec(dialect), request, stream).unwrap().concat()).unwrap()
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
            ],
            tools: vec![ToolSpec {
                name: "bash".into(),
                description: "Runs a command.".into(),
                parameters: json!({ "type": "object" }),
            }],
            config: GenerateConfig {
                temperature: Some(0.5),
                max_tokens: Some(64),
                seed: Some(7),
                stop: vec!["END".into()],
                reasoning_effort: Some(Effort::Low),
                ..GenerateConfig::default()
            },
            ..Request::default()
        };
        let expected = json!({
            "model": "m", "temperature": 0.5, "max_tokens": 64, "seed": 7, "stop": ["END"], "reasoning_effort": "low",
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": "list" },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "c1", "type": "function", "function": { "name": "bash", "arguments": "{\"cmd\": oops" } },
                ] },
                { "role": "tool", "tool_call_id": "c1", "content": "a\nb" },
            ],
            "tools": [
                { "type": "function", "function": { "name": "bash", "description": "Runs a command.", "parameters": { "type": "object" } } },
            ],
            "stream": true, "stream_options": { "include_usage": true },
        });
        assert_eq!(sent(&request, Dialect::Compatible, true), expected);
    }

    #[test]
    fn dialects_name_the_limit_and_the_reasoning_differently() {
        let config = GenerateConfig {
            max_tokens: Some(5),
            reasoning_effort: Some(Effort::High),
            ..GenerateConfig::default()
        };
        let request = Request { config, ..Request::default() };
        let official = sent(&request, Dialect::Official, false);
        assert_eq!(
            (&official["max_completion_tokens"], &official["max_tokens"]),
            (&json!(5), &Value::Null)
        );
        assert_eq!(official["reasoning_effort"], "high");
        let mut asking = request.clone();
        asking.config.logprobs = true;
        let vllm = sent(&asking, Dialect::Vllm, false);
        assert_eq!((&vllm["logprobs"], &vllm["return_token_ids"]), (&json!(true), &json!(true)));
        assert_eq!(sent(&asking, Dialect::Official, false)["return_token_ids"], Value::Null);
        let router = sent(&request, Dialect::Openrouter, false);
        assert_eq!(
            (&router["max_tokens"], &router["reasoning"]),
            (&json!(5), &json!({ "effort": "high" }))
        );
    }

    #[test]
    fn a_model_of_this_machine_takes_no_word_on_how_much_to_think() {
        let local = codec(Dialect::Local);
        let effort = GenerateConfig { reasoning_effort: Some(Effort::High), ..Default::default() };
        let tokens = GenerateConfig { reasoning_tokens: Some(9), ..Default::default() };
        for (config, setting) in [(effort, "--reasoning-effort"), (tokens, "--reasoning-tokens")] {
            assert_eq!(refused(&local, &config).map(|(setting, _)| setting), Some(setting));
        }
    }

    #[test]
    fn only_vllm_is_asked_to_continue_an_assistants_message() {
        let request = Request { messages: vec![Message::assistant("So")], ..Request::default() };
        let body = sent(&request, Dialect::Vllm, false);
        assert_eq!(
            (&body["continue_final_message"], &body["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
        assert!(segments(&codec(Dialect::Official), &request, false).is_err());
    }

    #[test]
    fn a_longer_conversation_shares_the_segments_of_its_beginning() {
        let codec = codec(Dialect::Compatible);
        let user = || Message::User { text: "1".into() };
        let mut request = Request { messages: vec![user()], ..Request::default() };
        let short = segments(&codec, &request, false).unwrap();
        request.messages.extend([Message::assistant("2"), user()]);
        let long = segments(&codec, &request, false).unwrap();
        assert_eq!(long[..2], short[..2]);
        assert_eq!(long.last(), short.last());
    }

    /// A replay compares byte by byte, also with runs whose messages were trees of values, which stand in the order of their names.
    #[test]
    fn a_message_has_the_bytes_of_a_tree_of_values() {
        let text = || "\"\\\u{7}\n/é\u{2028}\u{1f980}".to_owned();
        let call = || Part::ToolCall(ToolCall { id: text(), name: text(), arguments: text() });
        let messages = [
            Message::System { text: text() },
            Message::User { text: text() },
            Message::Tool { call_id: text(), name: text(), text: text() },
            Message::assistant(text()),
            Message::Assistant { parts: vec![call(), call()] },
            Message::Assistant { parts: vec![Part::Text { text: text() }, call()] },
        ];
        for sent in messages.iter().map(message) {
            assert_eq!(sent, serde_json::from_str::<Value>(&sent).unwrap().to_string());
        }
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
