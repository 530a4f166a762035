//! `/v1/completions`.

use serde_json::{Value, json};

use crate::support::{ask, events, random, saying};

const PATH: &str = "completions";

#[tokio::test]
async fn texts_and_tokens_are_continued_as_they_are() {
    let model = saying(&["a", "b"]);
    let body = |prompt: Value| json!({ "model": "parrot", "prompt": prompt, "logprobs": 1, "temperature": 0 });
    let (status, said) = ask(&model, PATH, &body(json!("Hi"))).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(
        (&said["object"], &said["choices"][0]["text"]),
        (&json!("text_completion"), &json!("ab"))
    );
    let logprobs = &said["choices"][0]["logprobs"];
    assert_eq!(
        (&logprobs["tokens"], &logprobs["text_offset"]),
        (&json!(["a", "b", "<|end|>"]), &json!([0, 1, 2]))
    );
    assert_eq!(logprobs["top_logprobs"][1]["b"], logprobs["token_logprobs"][1]);
    let (_, several) = ask(&model, PATH, &body(json!(["Hi", [2], [1]]))).await;
    let texts: Vec<&Value> =
        several["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["ab", "b", "ab"]);
    assert_eq!(
        (&several["choices"][2]["index"], &several["usage"]["prompt_tokens"]),
        (&json!(2), &json!(3))
    );
    let (_, tokens) = ask(&model, PATH, &body(json!([2]))).await;
    assert_eq!(tokens["choices"][0]["text"], "b");
}

#[tokio::test]
async fn a_stream_of_texts_tells_the_same_as_a_whole_answer() {
    let model = random(2);
    let mut body =
        json!({ "model": "tiny", "prompt": ["Hi", "Ho"], "seed": 3, "max_tokens": 20, "n": 2 });
    let (_, whole) = ask(&model, PATH, &body).await;
    body["stream"] = json!(true);
    let events = events(&model, PATH, &body).await;
    for choice in whole["choices"].as_array().unwrap() {
        let index = &choice["index"];
        let mine: Vec<&Value> = events
            .iter()
            .map(|event| &event["choices"][0])
            .filter(|piece| &piece["index"] == index)
            .collect();
        let text: String = mine.iter().filter_map(|piece| piece["text"].as_str()).collect();
        assert_eq!(&json!(text), &choice["text"]);
        assert_eq!(mine.last().unwrap()["finish_reason"], choice["finish_reason"]);
    }
}

#[tokio::test]
async fn prompts_that_are_none_are_refused() {
    let model = saying(&["a"]);
    for prompt in
        [json!(null), json!([]), json!({}), json!([[-1]]), json!([1.5]), json!([99]), json!("")]
    {
        let (status, said) =
            ask(&model, PATH, &json!({ "model": "parrot", "prompt": prompt })).await;
        assert_eq!((status, &said["error"]["param"]), (400, &json!("prompt")), "{prompt}: {said}");
    }
    for more in [("echo", json!(true)), ("suffix", json!("x")), ("best_of", json!(3))] {
        let mut body = json!({ "model": "parrot", "prompt": "a" });
        body[more.0] = more.1;
        let (status, said) = ask(&model, PATH, &body).await;
        assert_eq!((status, &said["error"]["param"]), (400, &json!(more.0)), "{said}");
    }
}
