//! `/v1/completions`: texts that are continued as they are.

use std::sync::Arc;

use lapwing_lab::sample::End;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::Raw;
use super::choice::{ids, reason, text_logprobs};
use super::fault::Fault;
use super::{Api, Begun, Body, Envelope, broken, done, event, usage};
use crate::engine::Step;
use crate::model::AskError;

pub(super) async fn answer(api: &Arc<Api>, body: &[u8]) -> Result<Body, Fault> {
    let raw = Raw::parse(body)?;
    api.check_model(&raw.model)?;
    let settings = raw.completion_settings()?;
    let mut begun = Vec::new();
    for prompt in prompts(api, &raw.prompt)? {
        begun.push(api.begin(settings.clone(), String::new(), prompt).await?);
    }
    let Some(first) = begun.first() else {
        return Err(Fault::of("prompt", "prompt is an empty list"));
    };
    let envelope = api.envelope("cmpl", "text_completion", first);
    if settings.stream {
        let (events, body) = mpsc::channel(16);
        tokio::spawn(stream(Arc::clone(api), envelope, begun, events));
        return Ok(Body::Stream(body));
    }
    let (mut choices, mut n_prompt, mut n_completion) = (Vec::new(), 0, 0);
    for Begun { prompt, answers, .. } in begun {
        n_prompt += prompt.len();
        for answer in answers {
            let finished = answer.finish().await?;
            n_completion += finished.steps.len();
            let told = Told { steps: &finished.steps, offset: 0 };
            let end = Some(finished.end);
            choices.push(choice(api, &settings, choices.len(), &finished.text, &told, end));
        }
    }
    let mut whole = envelope.of(&Value::Array(choices));
    whole["usage"] = usage(n_prompt, n_completion);
    Ok(Body::json(&whole))
}

/// Tokens with the place of their text.
struct Told<'a> {
    steps: &'a [Step],
    offset: usize,
}

fn choice(
    api: &Api,
    settings: &super::Settings,
    index: usize,
    text: &str,
    told: &Told<'_>,
    end: Option<End>,
) -> Value {
    let mut choice = json!({
        "index": index,
        "text": text,
        "logprobs": null,
        "finish_reason": end.map(|end| reason(end, false)),
    });
    if settings.log_probabilities {
        choice["logprobs"] = text_logprobs(&api.model, told.steps, told.offset);
    }
    if settings.token_ids {
        choice["token_ids"] = json!(ids(told.steps));
    }
    choice
}

async fn stream(
    api: Arc<Api>,
    envelope: Envelope,
    begun: Vec<Begun>,
    events: mpsc::Sender<Vec<u8>>,
) {
    if let Err(error) = tell(&api, &envelope, begun, &events).await {
        events.send(broken(error)).await.ok();
    }
}

async fn tell(
    api: &Api,
    envelope: &Envelope,
    begun: Vec<Begun>,
    events: &mpsc::Sender<Vec<u8>>,
) -> Result<(), AskError> {
    let include_usage = begun.first().is_some_and(|begun| begun.settings.include_usage);
    let (mut index, mut n_prompt, mut n_completion) = (0, 0, 0);
    for Begun { settings, prompt, answers, .. } in begun {
        n_prompt += prompt.len();
        for mut answer in answers {
            let mut offset = 0;
            while let Some(piece) = answer.next().await? {
                n_completion += 1;
                let steps = std::slice::from_ref(&piece.step);
                let told = Told { steps, offset };
                offset += piece.text.chars().count();
                let choice = choice(api, &settings, index, &piece.text, &told, piece.end);
                if events.send(event(&envelope.of(&json!([choice])))).await.is_err() {
                    return Ok(());
                }
            }
            index += 1;
        }
    }
    if include_usage {
        let mut last = envelope.of(&json!([]));
        last["usage"] = usage(n_prompt, n_completion);
        events.send(event(&last)).await.ok();
    }
    events.send(done()).await.ok();
    Ok(())
}

/// `prompt`: a text, tokens, or a list of either.
fn prompts(api: &Api, prompt: &Value) -> Result<Vec<Vec<u32>>, Fault> {
    let fault =
        || Fault::of("prompt", "prompt must be a text, a list of token ids, or a list of either");
    let one = |value: &Value| match value {
        Value::String(text) => Ok(api.model.text_tokens(text)?),
        value => tokens(value).ok_or_else(fault),
    };
    match prompt {
        Value::String(_) => Ok(vec![one(prompt)?]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => Ok(vec![one(prompt)?]),
        Value::Array(list) => list.iter().map(one).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(fault()),
    }
}

fn tokens(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}
