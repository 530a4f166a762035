//! A model behind an API: one call is as many attempts as it takes, each on record with its bytes.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use lapwing_core::{
    Attempt, Books, BoxFuture, Discard, GenerateConfig, Model, ModelError, ModelErrorKind, Output,
    Receipt, RecordError, Reply, Request, Waits,
};
use reqwest::Url;
use serde_json::Value;

use crate::cache::Cache;
use crate::codec::{Codec, Unread};
use crate::endpoint::{Endpoint, SetupError};
use crate::fault::{self, Fault, Hints};
use crate::ledger::{Ledger, Reservation, Unpaid, Used};
use crate::limiter::{Limiter, Outcome, Permit};
use crate::price::Price;
use crate::retry::{Failed, Retry, RetryConfig};
use crate::transport::{Exchange, Patience, Transport};

const MODELS: &str = "models";

/// How long a look at an endpoint may take.
const LOOK: Duration = Duration::from_secs(20);

/// The account's own limit on calls at a time, if none is set.
const MOST_CONNECTIONS: usize = 200;

/// Calls of one account share their number at a time.
#[derive(Clone, Debug)]
pub struct Account(Arc<Limiter>);

impl Account {
    /// An account with at most `most` calls at a time, if that is set.
    pub fn new(most: Option<usize>) -> Self {
        Self(Arc::new(Limiter::new(most.unwrap_or(MOST_CONNECTIONS))))
    }

    /// How long its provider wants to be left alone.
    pub fn held(&self) -> Option<Duration> {
        self.0.held()
    }

    /// Calls on the wire, and how many may be there now.
    pub fn load(&self) -> (usize, usize) {
        self.0.load()
    }
}

/// What the models of one run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// How patient to be.
    pub retry: RetryConfig,
    /// What was spent, and the budget.
    pub ledger: Arc<Ledger>,
    /// Where answers are kept, if they are.
    pub cache: Option<Cache>,
    /// The limit of tokens of a call that sets none, so that its worst case is known.
    pub max_tokens: Option<u64>,
}

/// A model behind an API.
#[derive(Debug)]
pub struct Client {
    name: String,
    codec: Codec,
    transport: Transport,
    /// Where completions are asked for.
    url: Url,
    /// The same for messages.
    shown: String,
    base_setting: String,
    key_setting: String,
    price: Option<Price>,
    account: Account,
    shared: Shared,
    /// An endpoint that has answered is not set up wrongly: what cannot be read from it may pass.
    has_worked: AtomicBool,
}

/// A call under way.
struct Call<'a> {
    request: &'a Request,
    segments: Vec<Vec<u8>>,
    body: Vec<u8>,
    failed: Failed,
    books: &'a mut dyn Books,
    /// Whether the worst case of an attempt is on record for which nobody can have billed anything.
    is_reserved: bool,
}

/// Why no attempt is made.
enum Withheld {
    Unpaid(Unpaid),
    Record(RecordError),
}

impl From<Unpaid> for Withheld {
    fn from(error: Unpaid) -> Self {
        Self::Unpaid(error)
    }
}

impl From<RecordError> for Withheld {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl Client {
    /// The model at `endpoint`.
    ///
    /// # Errors
    /// Its key or its certificates cannot be used.
    pub fn new(
        endpoint: Endpoint,
        price: Option<Price>,
        account: Account,
        shared: Shared,
    ) -> Result<Self, SetupError> {
        let transport = endpoint.transport()?;
        let Endpoint { name, codec, base_setting, key_setting, .. } = endpoint;
        let has_worked = AtomicBool::new(false);
        let url = transport.url(codec.path());
        let shown = transport.shown(codec.path());
        Ok(Self {
            name,
            codec,
            transport,
            url,
            shown,
            base_setting,
            key_setting,
            price,
            account,
            shared,
            has_worked,
        })
    }

    /// How requests become bytes.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Fails if the endpoint is down, is no API, or does not take the key. Costs one small request and no tokens.
    ///
    /// # Errors
    /// What to do next, in words. An endpoint that cannot list its models is taken to be there.
    pub fn reach(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        Box::pin(async {
            let url = self.transport.shown(MODELS);
            let exchange = self.transport.get(MODELS, self.look()).await;
            let Some(fault) = fault::of_exchange(self.hints(url.as_str()), &exchange) else {
                self.has_worked.store(true, Ordering::Relaxed);
                return Ok(());
            };
            let hopeless = exchange.broken.is_some()
                || fault::is_web_page(&exchange)
                || fault.error.kind == ModelErrorKind::Auth;
            if hopeless { Err(fault.error) } else { Ok(()) }
        })
    }

    fn look(&self) -> Patience {
        let total = LOOK.min(self.shared.retry.attempt_limit);
        Patience { total, silence: total }
    }

    fn hints<'a>(&'a self, url: &'a str) -> Hints<'a> {
        Hints { url, base_setting: &self.base_setting, key_setting: &self.key_setting }
    }

    fn patience(&self, config: &GenerateConfig) -> Patience {
        let RetryConfig { attempt_limit, silence_limit, .. } = self.shared.retry;
        if self.codec.streams(config) {
            Patience { total: attempt_limit * 6, silence: silence_limit }
        } else {
            Patience { total: attempt_limit, silence: attempt_limit }
        }
    }

    async fn call(&self, request: &Request, books: &mut dyn Books) -> Result<Reply, RecordError> {
        let segments = match self.codec.segments(request) {
            Ok(segments) => segments,
            Err(error) => return Ok(Reply { attempts: Vec::new(), result: Err(error) }),
        };
        let body = segments.concat();
        let draw = &request.place.draw;
        let place =
            self.shared.cache.as_ref().map(|cache| cache.place(self.url.as_str(), &body, draw));
        if let Some(reply) = place.as_deref().and_then(|place| self.kept(&segments, place)) {
            self.shared.ledger.note_kept();
            books.commit(&self.name, None).await?;
            return Ok(reply);
        }
        let failed = Failed::default();
        let call = Call { request, segments, body, failed, books, is_reserved: false };
        let reply = self.attempts(call).await?;
        if let (Some(place), Ok(_), Some(last)) = (place, &reply.result, reply.attempts.last()) {
            // An answer that cannot be kept is asked for again the next time.
            let _ = Cache::put(&place, &last.response);
        }
        Ok(reply)
    }

    /// The reply that was kept, if it can still be read.
    fn kept(&self, segments: &[Vec<u8>], place: &std::path::Path) -> Option<Reply> {
        let response = Cache::get(place)?;
        let output = self.codec.read(&response).ok()?;
        let attempt = Attempt {
            request: segments.to_vec(),
            response,
            receipt: Receipt { from_cache: true, ..Receipt::default() },
            ..Attempt::default()
        };
        Some(Reply { attempts: vec![attempt], result: Ok(output) })
    }

    /// As many attempts as it takes.
    async fn attempts(&self, mut call: Call<'_>) -> Result<Reply, RecordError> {
        let started = Instant::now();
        let mut attempts = Vec::new();
        // Time on the wire and behind failures, without that in which the provider wanted no call.
        let mut tried = Duration::ZERO;
        loop {
            let (attempt, result) = match self.attempt(&mut call).await {
                Ok(done) => done,
                Err(Withheld::Record(error)) => return Err(error),
                Err(Withheld::Unpaid(unpaid)) => {
                    let error =
                        ModelError { kind: ModelErrorKind::Budget, message: unpaid.to_string() };
                    return Ok(Reply { attempts, result: Err(error) });
                }
            };
            tried += Duration::from_millis(attempt.millis);
            attempts.push(attempt);
            let fault = match result {
                Ok(output) => return Ok(Reply { attempts, result: Ok(output) }),
                Err(fault) => fault,
            };
            let elapsed = match fault.retry {
                Retry::Throttled(_) => {
                    call.failed.throttled += 1;
                    started.elapsed()
                }
                Retry::Never | Retry::After(_) => {
                    call.failed.broken += 1;
                    tried
                }
            };
            let pause = self.shared.retry.pause(fault.retry, call.failed, elapsed, &call.body);
            let Some(pause) = pause else {
                let error = self.explain(fault.error, &attempts).await;
                return Ok(Reply { attempts, result: Err(error) });
            };
            if matches!(fault.retry, Retry::After(_)) {
                tried += pause;
            }
            waiting(&call.request.waits, tokio::time::sleep(pause)).await;
        }
    }

    /// One attempt, when the account and the budget allow it.
    async fn attempt(
        &self,
        call: &mut Call<'_>,
    ) -> Result<(Attempt, Result<Output, Fault>), Withheld> {
        let (permit, reservation) = self.leave(call).await?;
        let patience = self.patience(&call.request.config);
        let exchange = self.transport.post(&self.url, call.body.clone(), patience).await;
        let result = self.read(&exchange);
        permit.end(match &result {
            Ok(_) if call.failed.broken + call.failed.throttled == 0 => Outcome::AtOnce,
            Err(fault) => self.outcome(fault, exchange.status),
            Ok(_) => Outcome::Other,
        });
        let presumed = reservation.settle(used(&result, &exchange));
        // What may have been billed stays on record; another attempt needs a reserve of its own.
        call.is_reserved &= presumed.is_none();
        if result.is_ok() {
            self.has_worked.store(true, Ordering::Relaxed);
        }
        let receipt = Receipt {
            request_id: exchange.request_id,
            upstream: self.codec.upstream(&exchange.body),
            from_cache: false,
            presumed,
        };
        let attempt = Attempt {
            request: call.segments.clone(),
            status: exchange.status,
            response: exchange.body,
            error: result.as_ref().err().map(|fault| fault.error.clone()),
            millis: exchange.millis,
            receipt,
        };
        Ok((attempt, result))
    }

    /// Waits for leave to make one attempt: that of the account, that of the budget, and a record on which its worst case stands
    /// beside all that happened before. Where leave is there at once, that is one commit; what happened never waits for it.
    async fn leave(&self, call: &mut Call<'_>) -> Result<(Permit<'_>, Reservation<'_>), Withheld> {
        let worst = self.codec.worst_case(call.body.len(), &call.request.config);
        let mut leave = pin!(async {
            let permit = self.account.0.permit().await;
            let reservation = self.shared.ledger.reserve(worst, self.price).await?;
            Ok::<_, Unpaid>((permit, reservation))
        });
        let leave = match poll_fn(|context| Poll::Ready(leave.as_mut().poll(context))).await {
            Poll::Ready(leave) => leave?,
            Poll::Pending => {
                let leave = waiting(&call.request.waits, leave);
                let (leave, durable) = tokio::join!(leave, call.books.commit(&self.name, None));
                durable?;
                leave?
            }
        };
        let worst = worst.filter(|_| !call.is_reserved);
        call.books.commit(&self.name, worst).await?;
        call.is_reserved = true;
        Ok(leave)
    }

    /// What a failure says about the account. A pause that no call would wait for holds nobody back either.
    fn outcome(&self, fault: &Fault, status: Option<u16>) -> Outcome {
        let RetryConfig { total_limit, throttled_limit, .. } = self.shared.retry;
        let within = |asked: Option<Duration>, limit| asked.filter(|asked| *asked < limit);
        match (fault.retry, status) {
            (Retry::Throttled(asked), _) => Outcome::TooMany(within(asked, throttled_limit)),
            (Retry::After(asked), Some(503 | 529)) => Outcome::TooMany(within(asked, total_limit)),
            (Retry::Never | Retry::After(_), _) => Outcome::Other,
        }
    }

    fn read(&self, exchange: &Exchange) -> Result<Output, Fault> {
        let hints = self.hints(&self.shown);
        let passing = |mut fault: Fault| {
            // What is broken and malformed is an answer without end, which would be as long the next time.
            let unreadable =
                fault.error.kind == ModelErrorKind::Malformed && exchange.broken.is_none();
            if unreadable && self.has_worked.load(Ordering::Relaxed) {
                fault.retry = Retry::After(None);
            }
            fault
        };
        if let Some(fault) = fault::of_exchange(hints, exchange) {
            return Err(passing(fault));
        }
        let unread =
            |unread: Unread| passing(fault::of_unread(hints, unread, self.codec.noun(), exchange));
        self.codec.read(&exchange.body).map_err(unread)
    }

    /// The final error of a call: what the last attempt met, and what the endpoint tells beyond it.
    async fn explain(&self, error: ModelError, attempts: &[Attempt]) -> ModelError {
        let ModelError { kind, mut message } = error;
        if attempts.last().and_then(|attempt| attempt.status) == Some(404) {
            message.push_str(&self.what_is_there().await);
        }
        if attempts.len() > 1 {
            message = format!("{message} (after {} attempts)", attempts.len());
        }
        ModelError { kind, message }
    }

    /// Which models the endpoint has that are named much like this one.
    async fn what_is_there(&self) -> String {
        let exchange = self.transport.get(MODELS, self.look()).await;
        let list: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        let entries = list.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let ids = entries.iter().filter_map(|entry| entry.get("id")?.as_str());
        let mut near: Vec<_> = ids
            .map(|id| (strsim::jaro_winkler(id, &self.codec.id), fault::quote(id)))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let near: Vec<_> = near.into_iter().take(3).map(|(_, id)| id).collect();
        if near.is_empty() {
            format!("; see the models it has at {}", self.transport.url(MODELS))
        } else {
            format!("; it has {}", near.join(", "))
        }
    }
}

/// What an attempt may be billed for. An error that a server states is billed by nobody; an answer that is missing, cut or not
/// understood may be.
fn used(result: &Result<Output, Fault>, exchange: &Exchange) -> Used {
    match (result, exchange.status) {
        (Ok(Output { usage: Some(usage), .. }), _) => Used::Reported(*usage),
        (Err(_), Some(status)) if !(200..300).contains(&status) && exchange.broken.is_none() => {
            Used::Nothing
        }
        (Err(_), None) if exchange.is_unsent => Used::Nothing,
        (Ok(_) | Err(_), _) => Used::Unknown,
    }
}

/// Waits for `future` off the sample's time.
async fn waiting<T>(waits: &Waits, future: impl Future<Output = T>) -> T {
    struct Wait<'a>(&'a Waits, Instant);
    impl Drop for Wait<'_> {
        fn drop(&mut self) {
            self.0.end(self.1.elapsed().as_millis() as u64);
        }
    }
    waits.begin();
    let wait = Wait(waits, Instant::now());
    let done = future.await;
    drop(wait);
    done
}

impl Model for Client {
    fn name(&self) -> &str {
        &self.name
    }

    fn continues_text(&self) -> bool {
        self.transport.continues_text()
    }

    fn generate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Reply> {
        Box::pin(async {
            #[expect(clippy::expect_used, reason = "what is not kept is never refused")]
            self.ask(request, &mut Discard).await.expect("nothing is recorded")
        })
    }

    fn ask<'a>(
        &'a self,
        request: &'a Request,
        books: &'a mut dyn Books,
    ) -> BoxFuture<'a, Result<Reply, RecordError>> {
        Box::pin(async move {
            match (request.config.max_tokens, self.shared.max_tokens) {
                (None, max_tokens @ Some(_)) => {
                    let mut limited = request.clone();
                    limited.config.max_tokens = max_tokens;
                    self.call(&limited, books).await
                }
                (Some(_), _) | (None, None) => self.call(request, books).await,
            }
        })
    }
}
