//! A person in a sandbox of a scenario, as a model would find it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lapwing_core::{
    BoxFuture, Digest, Discard, GenerateConfig, Model, ModelError, ModelErrorKind, Provider, Reply,
    Request, Sandbox,
};
use lapwing_scenario::{Plan, Scenario};

use crate::limits::SampleLimits;
use crate::log::Log;
use crate::sample::{Halt, Runner, Shared};

/// What a shell is opened in.
pub struct Shell<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The sample, rendered.
    pub plan: &'a Plan,
    /// Where sandboxes come from.
    pub provider: &'a dyn Provider,
    /// Root file systems that are ready, as the scenario names them.
    pub roots: &'a BTreeMap<String, Digest>,
}

impl Shell<'_> {
    /// Makes the sandbox `name` with files, set-up and services, and answers the programs that are called in it until
    /// `visit` is over. Nothing is recorded, and nothing stays.
    ///
    /// # Errors
    /// In words, why the sandbox cannot be made or what broke in it.
    pub async fn visit<T>(
        &self,
        name: &str,
        visit: impl AsyncFnOnce(Arc<dyn Sandbox>) -> T,
    ) -> Result<T, String> {
        let config = GenerateConfig::default();
        let shared = Shared {
            scenario: self.scenario,
            provider: self.provider,
            limits: SampleLimits::default(),
            config: &config,
            optional: &std::collections::BTreeSet::new(),
            roots: self.roots,
        };
        let mut log = Log::new(1, &Discard);
        let mut runner = Runner::new(&shared, self.plan, &Nobody, &mut log);
        let sandbox = Arc::clone(&runner.machine(name).await.map_err(words)?.1.sandbox);
        let visited = {
            let mut visit = std::pin::pin!(visit(Arc::clone(&sandbox)));
            loop {
                tokio::select! {
                    biased;
                    call = sandbox.checkpoint() => {
                        let call = call.map_err(|error| error.to_string())?;
                        runner.serve(name, call).await.map_err(words)?;
                    }
                    visited = &mut visit => break visited,
                }
            }
        };
        runner.destroy().await;
        Ok(visited)
    }
}

fn words(halt: Halt) -> String {
    match halt {
        Halt::Failed(_, message) => message,
        Halt::Limit(limit, value) => format!("a limit was reached: {limit:?}, {value}"),
        Halt::Refused => "it was refused".to_owned(),
        Halt::Record(error) => error.to_string(),
    }
}

/// Nobody asks a model here.
struct Nobody;

impl Model for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    fn generate<'a>(&'a self, _request: &'a Request) -> BoxFuture<'a, Reply> {
        let (kind, message) = (ModelErrorKind::BadRequest, "no model is here".to_owned());
        let reply = Reply { attempts: Vec::new(), result: Err(ModelError { kind, message }) };
        Box::pin(std::future::ready(reply))
    }
}
