//! `/v1/chat/completions`: conversations.

mod message;

use std::sync::Arc;

use lapwing_lab::sample::End;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::{Raw, Settings};
use super::choice::{chat_logprobs, ids, reason};
use super::fault::Fault;
use super::{Api, Begun, Body, Envelope, broken, done, event, usage};
use crate::model::{Answer, AskError};
use crate::parts::{Segment, Splitter};

pub(super) async fn answer(api: &Arc<Api>, body: &[u8]) -> Result<Body, Fault> {
    let raw = Raw::parse(body)?;
    api.check_model(&raw.model)?;
    let settings = raw.chat_settings()?;
    let chat = message::chat(&raw)?;
    let rendered = api.model.render(&chat)?;
    let prompt = api.model.chat_tokens(&rendered)?;
    let cuts_calls = !chat.tools.is_empty();
    let begun = api.begin(settings, rendered, prompt).await?;
    if begun.settings.stream {
        let envelope = api.envelope("chatcmpl", "chat.completion.chunk", &begun);
        let (events, body) = mpsc::channel(16);
        tokio::spawn(stream(Arc::clone(api), envelope, begun, cuts_calls, events));
        return Ok(Body::Stream(body));
    }
    let envelope = api.envelope("chatcmpl", "chat.completion", &begun);
    Ok(Body::json(&whole(api, &envelope, begun, cuts_calls).await?))
}

async fn whole(
    api: &Api,
    envelope: &Envelope,
    begun: Begun,
    cuts_calls: bool,
) -> Result<Value, AskError> {
    let Begun { settings, prompt, rendered, answers } = begun;
    let (mut choices, mut n_completion) = (Vec::new(), 0);
    for (index, answer) in answers.into_iter().enumerate() {
        let finished = answer.finish().await?;
        n_completion += finished.steps.len();
        let mut splitter = Splitter::new(&rendered, cuts_calls);
        let mut segments = splitter.push(&finished.text);
        segments.extend(splitter.finish());
        let mut said = Said::new(envelope, index);
        let message = said.message(segments);
        let mut choice = json!({
            "index": index,
            "message": message,
            "logprobs": null,
            "finish_reason": reason(finished.end, said.n_calls > 0),
        });
        if settings.log_probabilities {
            choice["logprobs"] = chat_logprobs(&api.model, &finished.steps);
        }
        if settings.token_ids {
            choice["token_ids"] = json!(ids(&finished.steps));
        }
        choices.push(choice);
    }
    let mut whole = envelope.of(&Value::Array(choices));
    whole["usage"] = usage(prompt.len(), n_completion);
    if settings.token_ids {
        whole["prompt_token_ids"] = json!(prompt);
    }
    Ok(whole)
}

/// What one choice has said so far.
struct Said<'a> {
    envelope: &'a Envelope,
    choice: usize,
    n_calls: usize,
}

impl<'a> Said<'a> {
    fn new(envelope: &'a Envelope, choice: usize) -> Self {
        Self { envelope, choice, n_calls: 0 }
    }

    /// A whole message.
    fn message(&mut self, segments: Vec<Segment>) -> Value {
        let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
        for segment in segments {
            match segment {
                Segment::Text(text) => content.push_str(&text),
                Segment::Reasoning(text) => reasoning.push_str(&text),
                Segment::Call { name, arguments } => calls.push(self.call(&name, &arguments)),
            }
        }
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
        if !reasoning.is_empty() {
            message["reasoning_content"] = Value::String(reasoning);
        }
        if !calls.is_empty() {
            if content.is_empty() {
                message["content"] = Value::Null;
            }
            message["tool_calls"] = Value::Array(calls);
        }
        message
    }

    /// What a segment adds to a message in a stream.
    fn delta(&mut self, segment: Segment) -> Value {
        match segment {
            Segment::Text(text) => json!({ "content": text }),
            Segment::Reasoning(text) => json!({ "reasoning_content": text }),
            Segment::Call { name, arguments } => {
                let mut call = self.call(&name, &arguments);
                call["index"] = json!(self.n_calls - 1);
                json!({ "tool_calls": [call] })
            }
        }
    }

    /// A call. Its id differs from those of other turns, because their prompts do.
    fn call(&mut self, name: &str, arguments: &str) -> Value {
        let answer = self.envelope.id.trim_start_matches("chatcmpl-");
        let id = format!("call_{answer}_{}_{}", self.choice, self.n_calls);
        self.n_calls += 1;
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function })
    }
}

async fn stream(
    api: Arc<Api>,
    envelope: Envelope,
    begun: Begun,
    cuts_calls: bool,
    events: mpsc::Sender<Vec<u8>>,
) {
    let Begun { settings, prompt, rendered, answers } = begun;
    let mut n_completion = 0;
    for (index, answer) in answers.into_iter().enumerate() {
        let splitter = Splitter::new(&rendered, cuts_calls);
        let said = Said::new(&envelope, index);
        let mut telling =
            Telling { api: &api, settings: &settings, said, prompt: &prompt, events: &events };
        match telling.tell(answer, splitter).await {
            Ok(Some(n_tokens)) => n_completion += n_tokens,
            // Nobody listens any more.
            Ok(None) => return,
            Err(error) => {
                events.send(broken(error)).await.ok();
                return;
            }
        }
    }
    if settings.include_usage {
        let mut last = envelope.of(&json!([]));
        last["usage"] = usage(prompt.len(), n_completion);
        events.send(event(&last)).await.ok();
    }
    events.send(done()).await.ok();
}

/// A choice on its way to a client.
struct Telling<'a> {
    api: &'a Api,
    settings: &'a Settings,
    said: Said<'a>,
    prompt: &'a [u32],
    events: &'a mpsc::Sender<Vec<u8>>,
}

impl Telling<'_> {
    /// Tells a choice to its end and returns the number of its tokens; `None` if nobody listens.
    async fn tell(
        &mut self,
        mut answer: Answer,
        mut splitter: Splitter,
    ) -> Result<Option<usize>, AskError> {
        let mut first = self.chunk(&json!({ "role": "assistant", "content": "" }), None);
        if self.settings.token_ids {
            first["prompt_token_ids"] = json!(self.prompt);
        }
        if self.events.send(event(&first)).await.is_err() {
            return Ok(None);
        }
        let mut n_tokens = 0;
        let mut end = None;
        while let Some(piece) = answer.next().await? {
            n_tokens += 1;
            end = piece.end;
            let mut deltas: Vec<Value> = splitter
                .push(&piece.text)
                .into_iter()
                .map(|segment| self.said.delta(segment))
                .collect();
            let tells_tokens = self.settings.log_probabilities || self.settings.token_ids;
            if deltas.is_empty() && tells_tokens {
                deltas.push(json!({}));
            }
            let steps = std::slice::from_ref(&piece.step);
            for (index, delta) in deltas.into_iter().enumerate() {
                let mut chunk = self.chunk(&delta, None);
                let choice = &mut chunk["choices"][0];
                if index == 0 && self.settings.log_probabilities {
                    choice["logprobs"] = chat_logprobs(&self.api.model, steps);
                }
                if index == 0 && self.settings.token_ids {
                    choice["token_ids"] = json!(ids(steps));
                }
                if self.events.send(event(&chunk)).await.is_err() {
                    return Ok(None);
                }
            }
        }
        for segment in splitter.finish() {
            let delta = self.said.delta(segment);
            self.events.send(event(&self.chunk(&delta, None))).await.ok();
        }
        let last = self.chunk(&json!({}), end);
        let is_heard = self.events.send(event(&last)).await.is_ok();
        Ok(is_heard.then_some(n_tokens))
    }

    fn chunk(&self, delta: &Value, end: Option<End>) -> Value {
        let reason = end.map(|end| reason(end, self.said.n_calls > 0));
        let index = self.said.choice;
        self.said.envelope.of(&json!([
            { "index": index, "delta": delta, "logprobs": null, "finish_reason": reason },
        ]))
    }
}
