//! `lapwing serve`: a model of this machine behind OpenAI's wire format.

use std::io::Write as _;
use std::process::ExitCode;

use lapwing_local::{Api, ServeError};
use serde_json::json;

use super::{Global, local, start};
use crate::args;
use crate::failure::Failure;
use crate::render::say;

pub(crate) fn run(args: &args::Serve, global: &Global) -> Result<ExitCode, Failure> {
    let model = local::load(&args.model)?;
    let name = model.name.clone();
    let api = Api::new(model, &name);
    start::runtime()?.block_on(async {
        let signals = start::Signals::listen()?;
        let listener = lapwing_local::bind(args.port).await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let mut out = anstream::stdout();
        if global.json {
            writeln!(out, "{}", json!({ "url": url, "model": name }))?;
        } else {
            writeln!(out, "{url}")?;
        }
        out.flush()?;
        say(&format!("serves {name}; interrupt to end"));
        lapwing_local::serve(api, listener, drain(signals)).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Ends at the first signal; the second ends the process.
#[expect(clippy::exit, reason = "nothing has to be cleaned up")]
async fn drain(mut signals: start::Signals) {
    signals.next().await;
    say("answers what was asked; interrupt again to exit at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(130);
    });
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(Self::ENVIRONMENT, error.to_string())
    }
}
