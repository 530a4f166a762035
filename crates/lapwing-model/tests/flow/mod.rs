//! Cache, budget, providers: what decides whether and how a call is made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lapwing_core::{
    Books, BoxFuture, Condition, Draw, GenerateConfig, Message, Model as _, ModelErrorKind, Place,
    RecordError, Request, Usage,
};
use lapwing_model::{
    Account, Budget, Cache, Client, Endpoint, Ledger, Price, ProviderConfig, SetupError, Shared,
    Surroundings, Usd,
};

use crate::support::{KEY, Server, answer, at_once, client, client_of, hello, json};

const PLAIN: &str = include_str!("../wire/plain.json");

fn shared(budget: Option<Budget>, cache: Option<Cache>) -> Shared {
    let ledger = Arc::new(Ledger::new(budget));
    Shared { retry: at_once(), ledger, cache, max_tokens: Some(100) }
}

fn drawn(epoch: u32, call: u64) -> Request {
    let draw = Draw { condition: Condition::default(), seed: 0, epoch, call };
    Request { place: Place { draw, ..Place::default() }, ..hello() }
}

#[tokio::test]
async fn only_the_same_draw_of_the_same_question_is_taken_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::play(vec![json(PLAIN), json(PLAIN), json(PLAIN)]).await.unwrap();
    let shared = shared(None, Some(Cache::open(dir.path()).unwrap()));
    let model = client_of("openai/demo", &server.base, Some(KEY), shared.clone()).unwrap();
    let first = model.generate(&drawn(1, 0)).await;
    let again = model.generate(&drawn(1, 0)).await;
    let other_epoch = model.generate(&drawn(2, 0)).await;
    let other_call = model.generate(&drawn(1, 1)).await;
    let kept =
        [&first, &again, &other_epoch, &other_call].map(|r| r.attempts[0].receipt.from_cache);
    assert_eq!(kept, [false, true, false, false]);
    assert_eq!(first.result, again.result);
    assert_eq!(first.attempts[0].response, again.attempts[0].response);
    assert_eq!(first.attempts[0].request, again.attempts[0].request);
    // 109 tokens each time that it was asked, nothing for the copy.
    assert_eq!(shared.ledger.spent().tokens(), 3 * 109);
    assert_eq!(server.requests().await.len(), 3);
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let bad = answer(400, "", r#"{"error": {"message": "odd"}}"#);
    let server = Server::play(vec![bad, json(PLAIN)]).await.unwrap();
    let shared = shared(None, Some(Cache::open(dir.path()).unwrap()));
    let model = client_of("openai/demo", &server.base, Some(KEY), shared).unwrap();
    assert!(model.generate(&drawn(1, 0)).await.result.is_err());
    assert!(model.generate(&drawn(1, 0)).await.result.is_ok());
}

#[tokio::test]
async fn a_call_that_does_not_fit_the_budget_is_not_made() {
    let server = Server::play(vec![json(PLAIN)]).await.unwrap();
    // The bound of a call is its bytes, 1024 and 100 to answer; 109 are used.
    let shared = shared(Some(Budget::Tokens(1300)), None);
    let model = client_of("openai/demo", &server.base, Some(KEY), shared.clone()).unwrap();
    assert!(model.generate(&hello()).await.result.is_ok());
    let reply = model.generate(&hello()).await;
    let error = reply.result.unwrap_err();
    assert_eq!((error.kind, reply.attempts.len()), (ModelErrorKind::Budget, 0));
    assert!(
        error.message.contains("the budget of 1300 tokens does not hold another call"),
        "{error}"
    );
    assert!(error.message.ends_with("109 tokens is spent"), "{error}");
    assert!(shared.ledger.is_exhausted());
    assert_eq!(server.requests().await.len(), 1);
}

#[tokio::test]
async fn an_attempt_that_may_be_billed_counts_at_its_worst_and_a_stated_error_for_nothing() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cho".to_owned();
    let busy = answer(500, "", "{}");
    let server = Server::play(vec![half, busy, json(PLAIN)]).await.unwrap();
    let shared = shared(Some(Budget::Tokens(100_000)), None);
    let model = client_of("openai/demo", &server.base, Some(KEY), shared.clone()).unwrap();
    let reply = model.generate(&hello()).await;
    let body = reply.attempts[0].request.concat().len() as u64;
    let worst = Usage { input: body + 1024, output: 100, ..Usage::default() };
    let presumed: Vec<_> = reply.attempts.iter().map(|attempt| attempt.receipt.presumed).collect();
    assert_eq!(presumed, [Some(worst), None, None]);
    assert_eq!(shared.ledger.spent().presumed, worst.total());
    assert_eq!(shared.ledger.spent().usage.total(), 109);
}

/// What a model wants on record, until that cannot be written.
struct Record {
    room: usize,
    commits: Vec<Option<Usage>>,
}

impl Books for Record {
    fn commit<'b>(
        &'b mut self,
        model: &'b str,
        worst: Option<Usage>,
    ) -> BoxFuture<'b, Result<(), RecordError>> {
        assert_eq!(model, "openai/demo");
        let full = self.commits.len() == self.room;
        self.commits.push(worst);
        let done = if full { Err(RecordError("the disk is full".to_owned())) } else { Ok(()) };
        Box::pin(std::future::ready(done))
    }
}

#[tokio::test]
async fn each_attempt_that_may_be_billed_is_on_record_before_it_is_sent_and_no_other() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cho".to_owned();
    let busy = answer(500, "", "{}");
    let server = Server::play(vec![half, busy, json(PLAIN)]).await.unwrap();
    let model = client_of("openai/demo", &server.base, Some(KEY), shared(None, None)).unwrap();
    let mut record = Record { room: 9, commits: Vec::new() };
    let reply = model.ask(&hello(), &mut record).await.unwrap();
    let worst = reply.attempts[0].receipt.presumed;
    assert!(worst.is_some() && reply.attempts.len() == 3);
    // What a stated error was reserved for is used by the attempt behind it.
    assert_eq!(record.commits, [worst, worst, None]);
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_sent() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"cho".to_owned();
    let server = Server::play(vec![half]).await.unwrap();
    let model = client_of("openai/demo", &server.base, Some(KEY), shared(None, None)).unwrap();
    for (room, sent) in [(0, 0), (1, 1)] {
        let mut record = Record { room, commits: Vec::new() };
        assert!(model.ask(&hello(), &mut record).await.is_err());
        assert_eq!(record.commits.len(), sent + 1);
    }
    assert_eq!(server.requests().await.len(), 1);
}

#[tokio::test]
async fn money_is_counted_at_the_models_price() {
    let server = Server::play(vec![json(PLAIN)]).await.unwrap();
    let shared = shared(Some(Budget::Usd(Usd::new(1.0))), None);
    let price = Price { input: 10.0, output: 100.0, cache_read: Some(1.0), cache_write: None };
    let env = |_: &str| None;
    let configs = BTreeMap::new();
    let around = Surroundings {
        env: &env,
        configs: &configs,
        base_url: Some(&server.base),
        needs_keys: true,
    };
    let endpoint = Endpoint::find("vllm/demo", around).unwrap();
    let model = Client::new(endpoint, Some(price), Account::new(None), shared.clone()).unwrap();
    assert!(model.generate(&hello()).await.result.is_ok());
    // 36 at $10, 64 from the cache at $1 and 9 at $100 for a million.
    assert_eq!(shared.ledger.spent().cost, Usd::new(0.001_324));
}

#[tokio::test]
async fn what_cannot_be_read_passes_where_the_endpoint_has_answered_before() {
    let page = answer(200, "content-type: text/html\r\n", "<html>busy</html>");
    let answers = vec![json(PLAIN), page, json("{\"cho"), json(PLAIN)];
    let server = Server::play(answers).await.unwrap();
    let model = client("openai/demo", &server.base, Some(KEY), at_once()).unwrap();
    assert!(model.generate(&hello()).await.result.is_ok());
    let reply = model.generate(&hello()).await;
    assert_eq!((reply.attempts.len(), reply.result.is_ok()), (3, true));
}

#[tokio::test]
async fn azure_is_asked_by_deployment_version_and_key_of_its_own() {
    let server = Server::play(vec![json(PLAIN)]).await.unwrap();
    let root = server.base.trim_end_matches("/v1").to_owned();
    let env = move |name: &str| match name {
        "AZURE_OPENAI_ENDPOINT" => Some(root.clone()),
        "AZURE_OPENAI_API_KEY" => Some(KEY.to_owned()),
        _ => None,
    };
    let configs = BTreeMap::new();
    let around = Surroundings { env: &env, configs: &configs, base_url: None, needs_keys: true };
    let endpoint = Endpoint::find("azure/my-gpt", around).unwrap();
    let model = Client::new(endpoint, None, Account::new(None), shared(None, None)).unwrap();
    assert!(model.generate(&hello()).await.result.is_ok());
    let request = server.requests().await.remove(0);
    let path =
        "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n";
    assert!(request.starts_with(path), "{request}");
    assert!(
        request.contains(&format!("api-key: {KEY}")) && !request.contains("Bearer"),
        "{request}"
    );
}

#[tokio::test]
async fn a_provider_of_ones_own_has_its_format_address_and_key_file() {
    let server = Server::play(vec![json(include_str!("../wire/anthropic_thinking.json"))]).await;
    let server = server.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let config = ProviderConfig {
        format: Some(lapwing_model::Format::Anthropic),
        base_url: Some(server.base.clone()),
        key_file: Some(file),
        ..ProviderConfig::default()
    };
    let configs = BTreeMap::from([("lab".to_owned(), config.clone())]);
    let env = |_: &str| None;
    let around = Surroundings { env: &env, configs: &configs, base_url: None, needs_keys: true };
    let endpoint = Endpoint::find("lab/x", around).unwrap();
    let model = Client::new(endpoint, None, Account::new(None), shared(None, None)).unwrap();
    assert!(model.generate(&hello()).await.result.is_ok());
    assert!(server.requests().await.remove(0).contains(&format!("x-api-key: {KEY}")));
    let gone = ProviderConfig { key_file: Some(PathBuf::from("/no/such/key")), ..config };
    let configs = BTreeMap::from([("lab".to_owned(), gone)]);
    let around = Surroundings { configs: &configs, ..around };
    assert!(matches!(Endpoint::find("lab/x", around), Err(SetupError::KeyFile { .. })));
}

#[test]
fn every_provider_has_an_address_or_says_how_to_set_one() {
    let env = |name: &str| name.ends_with("_KEY").then(|| KEY.to_owned());
    let configs = BTreeMap::new();
    let around = Surroundings { env: &env, configs: &configs, base_url: None, needs_keys: true };
    for provider in lapwing_model::PROVIDERS.iter().map(|provider| provider.name) {
        match Endpoint::find(&format!("{provider}/x"), around) {
            Ok(endpoint) => {
                assert!(!format!("{endpoint:?}").contains(KEY), "{provider}");
                assert!(endpoint.has_key() && !endpoint.base().is_empty(), "{provider}");
            }
            Err(error) => {
                assert!(error.to_string().contains("set AZURE_OPENAI_ENDPOINT"), "{error}");
            }
        }
    }
    let unknown = Endpoint::find("antropic/x", around).unwrap_err().to_string();
    assert!(unknown.contains("did you mean anthropic/x?"), "{unknown}");
    assert!(matches!(Endpoint::find("openai/", around), Err(SetupError::NoModel { .. })));
}

#[tokio::test]
async fn a_limit_of_tokens_is_sent_where_the_budget_needs_one() {
    let server = Server::play(vec![json(PLAIN), json(PLAIN)]).await.unwrap();
    let model = client_of("vllm/demo", &server.base, None, shared(None, None)).unwrap();
    let own = GenerateConfig { max_tokens: Some(7), ..GenerateConfig::default() };
    let request = Request { messages: vec![Message::User { text: "x".to_owned() }], ..hello() };
    assert!(model.generate(&request).await.result.is_ok());
    assert!(model.generate(&Request { config: own, ..request }).await.result.is_ok());
    let requests = server.requests().await;
    assert!(requests[0].contains("\"max_tokens\":100"), "{}", requests[0]);
    assert!(requests[1].contains("\"max_tokens\":7"), "{}", requests[1]);
}

#[tokio::test]
async fn a_pause_of_years_ends_the_call_that_met_it_and_holds_no_other_back() {
    let never = answer(429, "retry-after: 999999999\r\n", r#"{"error": {"message": "no"}}"#);
    let server = Server::play(vec![never, json(PLAIN)]).await.unwrap();
    let model = client("openai/demo", &server.base, Some(KEY), at_once()).unwrap();
    let error = model.generate(&hello()).await.result.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::RateLimit);
    assert!(model.generate(&hello()).await.result.is_ok());
}
