//! Models that are small enough for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapwing_lab::checkpoint::SaveOptions;
use lapwing_local::{Api, Local};
use serde_json::Value;

use crate::parrot;

/// A folder of random weights that `transformers` made.
pub(crate) fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lapwing-lab/fixtures/llama")
}

/// The model of random weights, on so many threads.
pub(crate) fn random(threads: usize) -> Arc<Local> {
    Arc::new(Local::load("local/tiny", &checkpoint(), threads).unwrap())
}

/// A model that says `pieces`, and answers conversations.
pub(crate) fn saying(pieces: &[&str]) -> Arc<Local> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parrot");
    parrot::parrot(pieces, Some(parrot::TEMPLATE)).save(&path, SaveOptions::default()).unwrap();
    Arc::new(Local::load("local/parrot", &path, 1).unwrap())
}

/// What a model answers at a path.
pub(crate) async fn ask(model: &Arc<Local>, path: &str, body: &Value) -> (u16, Value) {
    let api = Api::new(Arc::clone(model), &model.name);
    let (status, answer) = api.answer("POST", path, body.to_string().as_bytes()).await;
    (status, serde_json::from_slice(&answer.bytes().await).unwrap())
}

/// The events of a stream, which ends as streams do.
pub(crate) async fn events(model: &Arc<Local>, path: &str, body: &Value) -> Vec<Value> {
    let api = Api::new(Arc::clone(model), &model.name);
    let (status, answer) = api.answer("POST", path, body.to_string().as_bytes()).await;
    let text = String::from_utf8(answer.bytes().await).unwrap();
    assert_eq!(status, 200, "{text}");
    let events = text.strip_suffix("data: [DONE]\n\n").unwrap_or_else(|| panic!("{text}"));
    let data = events.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}
