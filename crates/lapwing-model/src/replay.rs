//! A model that says again what was recorded of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lapwing_core::{
    Act, Attempt, Books, BoxFuture, Digest, Draw, Event, Message, Model, ModelError,
    ModelErrorKind, RecordError, Reply, Request, Role,
};
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::fault::quote;

/// How a model was asked in a run: enough to tell whether a request is the one that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The address.
    pub base: String,
    /// How requests became bytes.
    pub codec: Codec,
    /// The limit of tokens of calls that set none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

/// A call on record.
#[derive(Clone, Debug)]
struct Recorded {
    /// The number of its first event.
    seq: u64,
    reply: Reply,
}

/// What goes on where a replay is left.
pub struct Then {
    /// The number of the event from which on the model is asked.
    pub from: u64,
    /// Who is asked.
    pub model: Arc<dyn Model>,
    /// What stands in place of the system's message.
    pub system: Option<String>,
}

/// A model that gives the replies of a run again, sample by sample and call by call.
pub struct Replay {
    name: String,
    asked: Option<Asked>,
    is_via_codebook: bool,
    samples: BTreeMap<Draw, Vec<Recorded>>,
    /// Calls that each sample has made so far.
    made: Mutex<BTreeMap<Draw, usize>>,
    then: Option<Then>,
}

impl Replay {
    /// The model `name`, which was asked as `asked` says, if it was behind an API.
    pub fn new(name: &str, asked: Option<Asked>, then: Option<Then>) -> Self {
        let (samples, made) = (BTreeMap::new(), Mutex::default());
        Self { name: name.to_owned(), asked, is_via_codebook: false, samples, made, then }
    }

    /// The same of a model that was asked in words of its own: it gives these again, not what the codebook made of them.
    #[must_use]
    pub fn via_codebook(self) -> Self {
        Self { is_via_codebook: true, ..self }
    }

    /// Adds what was recorded of the model in one sample. `blob` gives kept bytes.
    pub fn add(
        &mut self,
        sample: &Draw,
        role: Role,
        events: &[Event],
        blob: impl Fn(Digest) -> Option<Vec<u8>>,
    ) {
        let mut calls = recorded(events, role, &blob);
        if self.is_via_codebook {
            for call in &mut calls {
                self.untranslate(&mut call.reply);
            }
        }
        self.samples.entry(first(sample)).or_default().extend(calls);
    }

    /// Puts what the model itself said, which the bytes of its answer tell, in the place of what the codebook made of it.
    fn untranslate(&self, reply: &mut Reply) {
        let Ok(translated) = &reply.result else { return };
        let answer = reply.attempts.last().map(|attempt| attempt.response.as_slice());
        let said = self.asked.as_ref().zip(answer);
        let said = said.and_then(|(asked, answer)| asked.codec.read(answer).ok());
        reply.result = said.ok_or_else(|| {
            let read = quote(&translated.message.text());
            refusal(&format!(
                "the words of {} that were read as {read} are not on record",
                self.name
            ))
        });
    }

    /// What was recorded, or who goes on where the replay is left.
    fn answer(&self, request: &Request) -> Result<Reply, &Then> {
        let sample = first(&request.place.draw);
        let number = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            let made = made.entry(sample.clone()).or_default();
            *made += 1;
            *made
        };
        let calls = self.samples.get(&sample).map_or(&[][..], Vec::as_slice);
        let call = calls.get(number - 1);
        if let Some(then) = &self.then
            && call.is_none_or(|call| call.seq >= then.from)
        {
            return Err(then);
        }
        let Some(call) = call else {
            return Ok(missed(&format!(
                "the record ends: call {number} of {} was never made, {} were",
                self.name,
                calls.len()
            )));
        };
        Ok(match self.difference(request, &call.reply) {
            Some(difference) => missed(&format!(
                "call {number} of {} (event {}) asks something else than was recorded: {difference}",
                self.name, call.seq
            )),
            None => call.reply.clone(),
        })
    }

    /// In words how a request differs from the one that was recorded. One that left no bytes cannot be compared.
    fn difference(&self, request: &Request, reply: &Reply) -> Option<String> {
        let asked = self.asked.as_ref()?;
        let before = &reply.attempts.first()?.request;
        let mut request = request.clone();
        request.config.max_tokens = request.config.max_tokens.or(asked.max_tokens);
        let now = match asked.codec.segments(&request) {
            Ok(now) => now,
            Err(error) => return Some(error.message),
        };
        if now.concat() == before.concat() {
            return None;
        }
        let at = now.iter().zip(before).take_while(|(now, before)| now == before).count();
        let part = |segments: &[Vec<u8>]| match segments.get(at) {
            Some(segment) => quote(&String::from_utf8_lossy(segment)),
            None => "nothing".to_owned(),
        };
        Some(format!("part {} is {} and was {}", at + 1, part(&now), part(before)))
    }
}

impl Then {
    /// What it is asked.
    fn request(&self, request: &Request) -> Request {
        let mut request = request.clone();
        if let Some(system) = &self.system {
            request.messages.retain(|message| !matches!(message, Message::System { .. }));
            request.messages.insert(0, Message::System { text: system.clone() });
        }
        request
    }
}

impl Model for Replay {
    fn name(&self) -> &str {
        &self.name
    }

    fn continues_text(&self) -> bool {
        self.is_via_codebook
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async {
            match self.answer(request) {
                Ok(reply) => reply,
                Err(then) => then.model.generate(&then.request(request)).await,
            }
        })
    }

    fn ask<'a>(
        &'a self,
        request: &'a Request,
        books: &'a mut dyn Books,
    ) -> BoxFuture<'a, Result<Reply, RecordError>> {
        Box::pin(async {
            match self.answer(request) {
                Ok(reply) => books.commit(&self.name, None).await.map(|()| reply),
                Err(then) => then.model.ask(&then.request(request), books).await,
            }
        })
    }
}

/// The first draw of the same sample, which stands for the sample.
fn first(draw: &Draw) -> Draw {
    Draw { call: 0, ..draw.clone() }
}

fn missed(message: &str) -> Reply {
    Reply { attempts: Vec::new(), result: Err(refusal(message)) }
}

fn refusal(message: &str) -> ModelError {
    ModelError { kind: ModelErrorKind::BadRequest, message: format!("replay: {message}") }
}

/// The calls in `events`: attempts that follow on each other up to one with an output, or to something else that happened.
fn recorded(
    events: &[Event],
    role: Role,
    blob: &dyn Fn(Digest) -> Option<Vec<u8>>,
) -> Vec<Recorded> {
    let mut calls: Vec<Recorded> = Vec::new();
    let mut goes_on = false;
    for event in events {
        let Act::Generated {
            role: of,
            request,
            response,
            status,
            output,
            error,
            millis,
            receipt,
            ..
        } = &event.act
        else {
            goes_on = false;
            continue;
        };
        if *of != role {
            goes_on = false;
            continue;
        }
        let error = error.clone().map(|(kind, message)| ModelError { kind, message });
        let attempt = Attempt {
            request: request.iter().filter_map(|digest| blob(*digest)).collect(),
            status: *status,
            response: response.and_then(blob).unwrap_or_default(),
            error: error.clone(),
            millis: *millis,
            receipt: receipt.clone(),
        };
        // A model without a wire leaves an attempt of which nothing is known.
        let attempt = (!attempt.request.is_empty()).then_some(attempt);
        let result = match (output, error) {
            (_, Some(error)) => Err(error),
            (Some(output), None) => Ok(output.as_ref().clone()),
            (None, None) => continue,
        };
        let ends = result.is_ok();
        if let Some(call) = calls.last_mut().filter(|_| goes_on) {
            call.reply.attempts.extend(attempt);
            call.reply.result = result;
        } else {
            let attempts = attempt.into_iter().collect();
            calls.push(Recorded { seq: event.seq, reply: Reply { attempts, result } });
        }
        goes_on = !ends;
    }
    calls
}
