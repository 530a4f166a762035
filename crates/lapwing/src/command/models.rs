//! `lapwing models check`: what works with a model, found out with two small calls.

use std::process::ExitCode;

use lapwing_core::{
    GenerateConfig, Message, Model as _, Output, Part, Reasoning, Request, StopReason, ToolSpec,
};
use lapwing_model::{Endpoint, Listed, Streaming};
use serde::Serialize;
use serde_json::json;

use super::endpoint::{Connector, Wishes};
use super::{Global, print_json, start};
use crate::args;
use crate::config::Config;
use crate::failure::Failure;
use crate::render::Grid;

/// What the calls showed, as `--json` prints it.
#[derive(Default, Serialize)]
struct Report {
    model: String,
    address: String,
    /// What holds the key; `None` without a key.
    key: Option<String>,
    answer: String,
    served: Option<String>,
    fingerprint: Option<String>,
    stop: Option<StopReason>,
    usage: bool,
    streaming: Feature,
    tools: Feature,
    parallel_calls: Feature,
    reasoning: &'static str,
    log_probabilities: Feature,
    tokens: u64,
    cost_usd: Option<f64>,
    price: Option<Listed>,
}

/// Whether something works.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "snake_case")]
enum Feature {
    #[default]
    Untried,
    Works,
    /// It does not, as far as one call shows.
    Not(String),
}

pub(crate) fn check(args: &args::ModelsCheck, global: &Global) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let wishes = Wishes {
        base_url: args.connection.base_url.clone(),
        organisms: args.connection.organisms.dir.clone(),
        max_connections: config.max_connections(&args.connection),
        generate: config.generate(&args.sampling),
        ..Wishes::default()
    };
    let connector = Connector::new(config, wishes)?;
    let report = start::runtime()?.block_on(ask(&connector, &args.model))?;
    let all_work = matches!(report.tools, Feature::Works) && report.usage;
    if global.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if all_work { ExitCode::SUCCESS } else { ExitCode::from(Failure::CHECK) })
}

async fn ask(connector: &Connector, name: &str) -> Result<Report, Failure> {
    let (endpoint, price) = connector.endpoint(name)?;
    let fault =
        |error: lapwing_model::SettingError| Failure::new(Failure::USAGE, error.to_string());
    endpoint.codec.check(connector.generate()).map_err(fault)?;
    connector.connect(name).await?;
    let config = connector.generate();
    let key = endpoint.has_key().then(|| endpoint.key_setting().to_owned());
    let mut report = Report {
        model: name.to_owned(),
        address: endpoint.base().to_owned(),
        key,
        price: price.clone(),
        ..Report::default()
    };
    let asking = GenerateConfig { logprobs: true, ..config.clone() };
    let can_ask = endpoint.codec.check(&asking);
    let asked = match &can_ask {
        Ok(()) => call(connector, &endpoint, Streaming::Never, &plain(&asking)).await,
        Err(_) => call(connector, &endpoint, Streaming::Never, &plain(config)).await,
    };
    let answered = match (asked, &can_ask) {
        (Ok(output), _) => output,
        // Some servers refuse to be asked for them.
        (Err(_), Ok(())) => call(connector, &endpoint, Streaming::Never, &plain(config)).await?,
        (Err(failure), Err(_)) => return Err(failure),
    };
    report.log_probabilities = match can_ask {
        Err(error) => Feature::Not(error.why.to_owned()),
        Ok(()) if answered.tokens.is_some() => Feature::Works,
        Ok(()) => Feature::Not("no token ids came with them, or they did not come".to_owned()),
    };
    report.read_plain(&answered);
    let tools = tools(config);
    let streamed = match call(connector, &endpoint, Streaming::Always, &tools).await {
        Ok(output) => {
            report.streaming = Feature::Works;
            Ok(output)
        }
        Err(failure) => {
            // One more call tells whether it is the stream or the tools.
            let whole = call(connector, &endpoint, Streaming::Never, &tools).await;
            if whole.is_ok() {
                report.streaming = Feature::Not(failure.message().to_owned());
            }
            whole
        }
    };
    report.read_tools(streamed);
    let spent = connector.ledger().spent();
    report.tokens = spent.tokens();
    report.cost_usd = price.map(|_| spent.cost.dollars());
    Ok(report)
}

/// One call with a connection of its own, so that streaming can be chosen.
async fn call(
    connector: &Connector,
    endpoint: &Endpoint,
    streaming: Streaming,
    request: &Request,
) -> Result<Output, Failure> {
    let mut endpoint = endpoint.clone();
    endpoint.codec.streaming = streaming;
    let (_, price) = connector.endpoint(&endpoint.name)?;
    let client = connector.client(endpoint, price)?;
    Ok(client.generate(request).await.result?)
}

fn plain(config: &GenerateConfig) -> Request {
    let text = "Which is the larger number, 17 or 12? Answer with the number only.";
    Request {
        messages: vec![Message::User { text: text.to_owned() }],
        config: config.clone(),
        ..Request::default()
    }
}

fn tools(config: &GenerateConfig) -> Request {
    let text = "What is the weather in Oslo, and what is it in Lima? Look both up at once.";
    let parameters = json!({
        "type": "object", "required": ["city"],
        "properties": { "city": { "type": "string", "description": "The city's name." } },
    });
    Request {
        messages: vec![Message::User { text: text.to_owned() }],
        tools: vec![ToolSpec {
            name: "weather".to_owned(),
            description: "Looks up the weather of one city.".to_owned(),
            parameters,
        }],
        config: config.clone(),
        ..Request::default()
    }
}

impl Report {
    fn read_plain(&mut self, output: &Output) {
        self.answer = output.message.text();
        self.served.clone_from(&output.snapshot);
        self.fingerprint.clone_from(&output.fingerprint);
        self.stop = Some(output.stop);
        self.usage = output.usage.is_some();
        self.read_reasoning(output);
    }

    fn read_reasoning(&mut self, output: &Output) {
        let Message::Assistant { parts } = &output.message else { return };
        let shown = parts.iter().find_map(|part| match part {
            Part::Reasoning(Reasoning::Full { .. }) => Some("whole"),
            Part::Reasoning(Reasoning::Summary { .. }) => Some("summarised"),
            Part::Reasoning(Reasoning::Hidden { .. }) => Some("hidden"),
            Part::Text { .. } | Part::ToolCall(_) => None,
        });
        self.reasoning =
            shown.unwrap_or(if self.reasoning.is_empty() { "none" } else { self.reasoning });
    }

    fn read_tools(&mut self, output: Result<Output, Failure>) {
        let output = match output {
            Ok(output) => output,
            Err(failure) => {
                self.tools = Feature::Not(failure.message().to_owned());
                return;
            }
        };
        let named = |call: &&lapwing_core::ToolCall| call.name == "weather";
        let n_calls = output.message.tool_calls().filter(named).count();
        let readable = |call: &lapwing_core::ToolCall| {
            let arguments = serde_json::from_str::<serde_json::Value>(&call.arguments);
            arguments.is_ok_and(|arguments| arguments["city"].is_string())
        };
        self.tools = match n_calls {
            0 => Feature::Not("it answered in words and called none".to_owned()),
            _ if !output.message.tool_calls().all(readable) => {
                Feature::Not("its arguments cannot be read".to_owned())
            }
            _ => Feature::Works,
        };
        self.parallel_calls = match n_calls {
            0 => Feature::Untried,
            1 => Feature::Not("it made one call at a time".to_owned()),
            _ => Feature::Works,
        };
        self.read_reasoning(&output);
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let yes = |is: bool, otherwise: &str| if is { "yes" } else { otherwise }.to_owned();
    let feature = |feature: &Feature| match feature {
        Feature::Untried => "not tried".to_owned(),
        Feature::Works => "yes".to_owned(),
        Feature::Not(why) => format!("no: {why}"),
    };
    let cost = match (&report.price, report.cost_usd) {
        (Some(price), Some(cost)) => {
            let of = if price.as_of.is_empty() { &price.source } else { &price.as_of };
            format!("{} tokens, {} at prices of {of}", report.tokens, lapwing_model::Usd::new(cost))
        }
        _ => format!("{} tokens; its price is not known", report.tokens),
    };
    let mut grid = Grid::new(&["", &report.model]);
    let rows = [
        ("address", report.address.clone()),
        ("key", report.key.clone().unwrap_or_else(|| "none".to_owned())),
        ("answered", shortened(&report.answer)),
        ("served by", report.served.clone().unwrap_or_else(|| "it does not say".to_owned())),
        ("fingerprint", report.fingerprint.clone().unwrap_or_else(|| "–".to_owned())),
        ("usage", yes(report.usage, "no: --tokens and --budget cannot count")),
        ("streaming", feature(&report.streaming)),
        ("tools", feature(&report.tools)),
        ("parallel calls", feature(&report.parallel_calls)),
        ("reasoning", report.reasoning.to_owned()),
        ("log-probabilities", feature(&report.log_probabilities)),
        ("this check", format!("took {cost}")),
    ];
    for (name, value) in rows {
        grid.row([name.to_owned(), value]);
    }
    grid.write(&mut anstream::stdout().lock())
}

/// A quoted answer, cut where it is long.
fn shortened(answer: &str) -> String {
    const SHOWN: usize = 60;
    let cut: String = answer.chars().take(SHOWN).collect();
    let more = if cut.len() < answer.len() { " .." } else { "" };
    format!("{cut:?}{more}")
}
