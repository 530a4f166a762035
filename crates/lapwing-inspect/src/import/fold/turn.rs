//! A turn of a model: what it was given that it had not seen, what went over the wire, what it answered.

use lapwing_core::{Act, Digest, Message, ModelErrorKind, Receipt, Role};
use serde_json::Value;

use super::Fold;
use crate::InspectError;
use crate::import::message::{digest, message, output};
use crate::import::pools::Pool;

/// A message that a model was given.
#[derive(Clone)]
enum Asked {
    Pooled(usize),
    Given(Value),
}

impl Fold<'_> {
    pub(super) fn model_event(&mut self, mut event: Value) -> Result<(), InspectError> {
        let scores = self.spans.last().is_some_and(|(_, scores)| *scores);
        let role = match event["role"].as_str() {
            None if !scores => Role::Target,
            Some("target") => Role::Target,
            Some(_) | None => Role::Judge,
        };
        let asked = self.asked(&event);
        if role == Role::Target {
            self.tell_news(&asked)?;
        }
        let mut request = self.request(&mut event["call"])?;
        if request.is_empty() && role != Role::Target {
            // Nobody else says what a judge was asked.
            for message in asked {
                let message = self.asked_message(message)?;
                request.push(self.keep(message.to_string().into_bytes()));
            }
        }
        let response = &event["call"]["response"];
        let response = (!response.is_null()).then(|| response.to_string().into_bytes());
        let response = response.map(|bytes| self.keep(bytes));
        let millis = event["working_time"].as_f64().or(event["output"]["time"].as_f64());
        let error = event["error"].as_str().or(event["output"]["error"].as_str());
        let error = error.map(str::to_owned);
        let millis = (millis.unwrap_or_default() * 1000.0) as u64;
        let model = event["model"].as_str().unwrap_or(&self.model).to_owned();
        let own = std::mem::replace(&mut self.model, model);
        self.generated(role, &event["output"], request, response, error, millis);
        self.model = own;
        Ok(())
    }

    pub(super) fn generated(
        &mut self,
        role: Role,
        returned: &Value,
        request: Vec<Digest>,
        response: Option<Digest>,
        error: Option<String>,
        millis: u64,
    ) {
        let turn = if error.is_some() { None } else { output(returned) };
        if let (Role::Target, Some(turn)) = (role, &turn) {
            self.last_stop = Some(turn.stop);
            let digest = digest(&returned["choices"][0]["message"]);
            self.told.insert(digest);
            self.conversation.push(digest);
        }
        let error = match (&turn, error) {
            (Some(_), _) => None,
            (None, error) => Some(error.unwrap_or_else(|| "the log has no answer".to_owned())),
        };
        self.push(Act::Generated {
            model: self.model.clone(),
            role,
            request,
            response,
            status: None,
            output: turn.map(Box::new),
            error: error.map(|error| (ModelErrorKind::Transport, error)),
            millis,
            receipt: Receipt::default(),
        });
    }

    /// The messages that a model was given: numbers in the pool, or messages.
    fn asked(&self, event: &Value) -> Vec<Asked> {
        let pooled = self.pools.numbers(Pool::Messages, &event["input_refs"]);
        if !pooled.is_empty() {
            return pooled.into_iter().map(Asked::Pooled).collect();
        }
        let given = event["input"].as_array().into_iter().flatten();
        given.map(|message| Asked::Given(message.clone())).collect()
    }

    fn asked_message(&mut self, asked: Asked) -> Result<Value, InspectError> {
        match asked {
            Asked::Given(message) => Ok(message),
            Asked::Pooled(number) => {
                let message = self
                    .pools
                    .get(Pool::Messages, number)
                    .map_err(|error| InspectError::temporary(&error))?;
                Ok(message.unwrap_or_default())
            }
        }
    }

    /// Tells those messages that the model had not seen, or had not seen in this conversation.
    fn tell_news(&mut self, asked: &[Asked]) -> Result<(), InspectError> {
        let mut seen = Vec::with_capacity(asked.len());
        for asked in asked {
            seen.push(match asked {
                Asked::Given(message) => digest(message),
                Asked::Pooled(number) => {
                    let digest = self
                        .pools
                        .digest(*number)
                        .map_err(|error| InspectError::temporary(&error))?;
                    digest.unwrap_or_else(|| Digest::of(b""))
                }
            });
        }
        let common = seen.iter().zip(&self.conversation).take_while(|(a, b)| a == b).count();
        let goes_on = common == self.conversation.len();
        for (place, asked) in asked.iter().enumerate().skip(common) {
            let is_new = self.told.insert(seen[place]);
            let message = self.asked_message(asked.clone())?;
            match self::message(&message) {
                Some(said @ (Message::System { .. } | Message::User { .. }))
                    if goes_on || is_new =>
                {
                    self.tell(said);
                }
                Some(said @ Message::Assistant { .. }) if is_new => self.tell(said),
                Some(said @ Message::Tool { .. }) if is_new => {
                    let id = message["tool_call_id"].as_str().unwrap_or_default();
                    if !self.returned.contains(id) {
                        self.tell(said);
                    }
                }
                Some(_) | None => {}
            }
        }
        self.conversation = seen;
        Ok(())
    }

    /// The request in pieces, of which those that are repeated from call to call are kept once.
    fn request(&mut self, call: &mut Value) -> Result<Vec<Digest>, InspectError> {
        let request = call.get_mut("request").map(Value::take);
        let Some(Value::Object(mut request)) = request else { return Ok(Vec::new()) };
        let key = call["call_key"].as_str().unwrap_or("messages").to_owned();
        let refs = self.pools.numbers(Pool::Calls, &call["call_refs"]);
        let listed = match request.remove(&key) {
            Some(Value::Array(messages)) if refs.is_empty() => messages,
            other => {
                let mut messages = Vec::new();
                for number in refs {
                    messages.extend(
                        self.pools
                            .get(Pool::Calls, number)
                            .map_err(|error| InspectError::temporary(&error))?,
                    );
                }
                if messages.is_empty() {
                    request.extend(other.map(|other| (key.clone(), other)));
                    return Ok(vec![self.keep(Value::Object(request).to_string().into_bytes())]);
                }
                messages
            }
        };
        let mut rest = Value::Object(request).to_string();
        rest.truncate(rest.len() - 1);
        let comma = if rest.len() > 1 { "," } else { "" };
        let mut pieces = vec![format!("{rest}{comma}{}:[", Value::from(key))];
        for (place, message) in listed.iter().enumerate() {
            pieces.push(format!("{}{message}", if place == 0 { "" } else { "," }));
        }
        pieces.push("]}".to_owned());
        Ok(pieces.into_iter().map(|piece| self.keep(piece.into_bytes())).collect())
    }

    fn keep(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.out.blobs.push(bytes);
        digest
    }
}
