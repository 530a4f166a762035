//! `/v1/chat/completions`.

use serde_json::{Value, json};

use crate::support::{ask, events, random, saying};

const PATH: &str = "chat/completions";

fn asking(more: &Value) -> Value {
    let mut body =
        json!({ "model": "local/parrot", "messages": [{ "role": "user", "content": "Hi" }] });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn tools() -> Value {
    json!([{ "type": "function", "function": { "name": "look", "parameters": {} } }])
}

const ACTING: [&str; 6] = [
    "<think>Hm",
    ".</think>\n",
    "I look.\n",
    "<tool_",
    "call>{\"name\":\"look\",",
    "\"arguments\":{\"at\": 1}}</tool_call>",
];

#[tokio::test]
async fn an_answer_has_its_parts_its_tokens_and_what_was_used() {
    let model = saying(&ACTING);
    let more = json!({ "tools": tools(), "logprobs": true, "top_logprobs": 1, "return_token_ids": true, "seed": 1 });
    let (status, said) = ask(&model, PATH, &asking(&more)).await;
    assert_eq!(status, 200, "{said}");
    let choice = &said["choices"][0];
    let message = &choice["message"];
    assert_eq!(message["reasoning_content"], "Hm.");
    assert_eq!(message["content"], "I look.");
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({ "name": "look", "arguments": "{\"at\": 1}" })
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(said["system_fingerprint"], model.address);
    assert_eq!(choice["token_ids"], json!([2, 3, 4, 5, 6, 7, 8]));
    let logprobs = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(logprobs[2]["token"], "I look.\n");
    assert_eq!(logprobs[2]["bytes"], json!(b"I look.\n"));
    assert_eq!(logprobs[2]["top_logprobs"][0]["token"], "I look.\n");
    assert_eq!(logprobs[6]["token"], "<|end|>");
    let n_prompt = said["prompt_token_ids"].as_array().unwrap().len();
    assert_eq!(
        said["usage"],
        json!({ "prompt_tokens": n_prompt, "completion_tokens": 7, "total_tokens": n_prompt + 7 })
    );
}

#[tokio::test]
async fn a_stream_tells_the_same_as_a_whole_answer() {
    let model = saying(&ACTING);
    let options = json!({ "stream": true, "stream_options": { "include_usage": true }, "tools": tools(), "logprobs": true });
    let events = events(&model, PATH, &asking(&options)).await;
    let deltas: Vec<&Value> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({ "role": "assistant", "content": "" }));
    let joined =
        |name: &str| deltas.iter().filter_map(|delta| delta[name].as_str()).collect::<String>();
    assert_eq!((joined("reasoning_content"), joined("content")), ("Hm.".into(), "I look.".into()));
    let calls: Vec<&Value> =
        deltas.iter().map(|delta| &delta["tool_calls"][0]).filter(|call| !call.is_null()).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (&calls[0]["index"], &calls[0]["function"]["arguments"]),
        (&json!(0), &json!("{\"at\": 1}"))
    );
    let n_logprobs: usize = events
        .iter()
        .filter_map(|event| Some(event["choices"][0]["logprobs"]["content"].as_array()?.len()))
        .sum();
    assert_eq!(n_logprobs, 7);
    let [.., last, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(7)));
}

#[tokio::test]
async fn without_tools_nothing_is_cut_out() {
    let model = saying(&["<tool_call>{}", "</tool_call>"]);
    let (_, said) = ask(&model, PATH, &asking(&json!({}))).await;
    assert_eq!(said["choices"][0]["message"]["content"], "<tool_call>{}</tool_call>");
    let (_, said) =
        ask(&model, PATH, &asking(&json!({ "tools": tools(), "tool_choice": "none" }))).await;
    assert_eq!(said["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn choices_of_one_request_differ_and_are_the_same_the_next_time() {
    let model = random(2);
    let body = json!({
        "model": "tiny", "messages": [{ "role": "user", "content": "Hi" }], "n": 3, "seed": 5, "max_tokens": 12,
    });
    let texts = |said: &Value| -> Vec<Value> {
        said["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|choice| choice["message"]["content"].clone())
            .collect()
    };
    let first = texts(&ask(&model, PATH, &body).await.1);
    assert!(first[0] != first[1] && first[1] != first[2] && first.len() == 3, "{first:?}");
    assert_eq!(first, texts(&ask(&model, PATH, &body).await.1));
}

#[tokio::test]
async fn stops_limits_and_lists_of_parts_are_understood() {
    let model = saying(&["a b", " c"]);
    let parts = json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hi" }] }], "stop": " b" });
    let (_, said) = ask(&model, PATH, &asking(&parts)).await;
    assert_eq!(
        (&said["choices"][0]["message"]["content"], &said["choices"][0]["finish_reason"]),
        (&json!("a"), &json!("stop"))
    );
    let (_, said) = ask(&model, PATH, &asking(&json!({ "max_completion_tokens": 1 }))).await;
    assert_eq!(
        (&said["choices"][0]["message"]["content"], &said["choices"][0]["finish_reason"]),
        (&json!("a b"), &json!("length"))
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error_with_its_parameter() {
    let model = saying(&["a"]);
    let long = "x <|go|>".repeat(70);
    let rows = [
        (json!({ "model": "gpt-x" }), 404, "model", "model_not_found"),
        (json!({ "messages": [] }), 400, "messages", "invalid_value"),
        (json!({ "messages": ["Hi"] }), 400, "messages", "invalid_value"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            400,
            "messages",
            "invalid_value",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": long }] }),
            400,
            "messages",
            "context_length_exceeded",
        ),
        (json!({ "temperature": -1 }), 400, "temperature", "invalid_value"),
        (json!({ "top_logprobs": 2 }), 400, "top_logprobs", "invalid_value"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), 400, "top_logprobs", "invalid_value"),
        (json!({ "max_tokens": 0 }), 400, "max_tokens", "invalid_value"),
        (json!({ "n": 0 }), 400, "n", "invalid_value"),
        (json!({ "stop": [""] }), 400, "stop", "invalid_value"),
        (json!({ "stop": 5 }), 400, "stop", "invalid_value"),
        (json!({ "tool_choice": "required" }), 400, "tool_choice", "unsupported_parameter"),
        (
            json!({ "response_format": { "type": "json_object" } }),
            400,
            "response_format",
            "unsupported_parameter",
        ),
        (json!({ "logit_bias": { "1": 5 } }), 400, "logit_bias", "unsupported_parameter"),
        (json!({ "presence_penalty": 0.5 }), 400, "presence_penalty", "unsupported_parameter"),
        (json!({ "reasoning_effort": "low" }), 400, "reasoning_effort", "unsupported_parameter"),
    ];
    for (more, expected, param, code) in rows {
        let (status, said) = ask(&model, PATH, &asking(&more)).await;
        let error = &said["error"];
        assert_eq!(
            (status, &error["param"], &error["code"]),
            (expected, &json!(param), &json!(code)),
            "{said}"
        );
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");
    }
    let (status, said) = ask(&model, PATH, &json!({ "model": 5 })).await;
    assert_eq!((status, &said["error"]["code"]), (400, &json!("invalid_json")), "{said}");
}

#[tokio::test]
async fn a_message_can_be_gone_on_with() {
    let model = saying(&["a"]);
    let messages =
        json!([{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "So" }]);
    let more =
        json!({ "messages": messages, "continue_final_message": true, "return_token_ids": true });
    let (status, said) = ask(&model, PATH, &asking(&more)).await;
    // The prompt is one piece of unknown text: the token behind which answers begin was cut off.
    assert_eq!((status, &said["prompt_token_ids"]), (200, &json!([0])), "{said}");
}
