//! Models behind an endpoint, as `--model` and `--judge` name them.

use std::sync::Arc;

use lapwing_core::{BoxFuture, Model, ModelError, ModelErrorKind, Reply, Request};
use lapwing_model::OpenAi;

use crate::failure::Failure;

/// The model that the endpoint of the environment knows as `name`. It must answer, before a run is begun.
pub(crate) async fn openai(name: &str) -> Result<Arc<dyn Model>, Failure> {
    let model = OpenAi::from_env(name)
        .map_err(|error| Failure::new(Failure::ENVIRONMENT, error.to_string()))?;
    model.reach().await?;
    Ok(Arc::new(model))
}

/// A model that is named and never asked, in a dry run: it needs neither an endpoint nor a key.
pub(crate) struct Unasked(pub(crate) String);

impl Model for Unasked {
    fn name(&self) -> &str {
        &self.0
    }

    fn generate<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Reply> {
        let message = "nothing is asked in a dry run".to_owned();
        let error = ModelError { kind: ModelErrorKind::BadRequest, message };
        Box::pin(async move { Reply { attempts: Vec::new(), result: Err(error) } })
    }
}
