//! `lapwing sample`: answers of a model of this machine, many at a time.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use lapwing_lab::Random;
use lapwing_lab::sample::End;
use lapwing_local::{Ask, Chat, Finished};
use serde::Serialize;
use serde_json::json;

use super::{Global, local, print_json, start};
use crate::args;
use crate::failure::Failure;
use crate::render::{BOLD, DIM, count};
use crate::transcript::harmless;

/// One answer, as `--json` prints it.
#[derive(Serialize)]
struct Sampled {
    prompt: String,
    sample: u64,
    seed: u64,
    text: String,
    /// `stop`, or `length` where the answer was cut.
    end: &'static str,
    prompt_tokens: Vec<u32>,
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
}

pub(crate) fn run(args: &args::Sample, global: &Global) -> Result<ExitCode, Failure> {
    let mut prompts = args.prompts.clone();
    if let Some(file) = &args.file {
        prompts.extend(lines(file)?);
    }
    let model = local::load(&args.model)?;
    let ask = args.drawing.ask()?;
    let is_chat = model.is_chat() && !args.raw;
    let sampled = start::runtime()?.block_on(async {
        let mut begun = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let tokens = if is_chat {
                model.chat_tokens(&model.render(&question(prompt))?)?
            } else {
                model.text_tokens(prompt)?
            };
            for sample in 1..=args.n {
                let seed = Random::new(ask.seed, &format!("{index} {sample}")).bits();
                let answer = model.answer(tokens.clone(), Ask { seed, ..ask.clone() }).await?;
                begun.push((prompt, sample, seed, tokens.clone(), answer));
            }
        }
        let mut sampled = Vec::new();
        for (prompt, sample, seed, prompt_tokens, answer) in begun {
            let Finished { text, steps, end } = answer.finish().await?;
            sampled.push(Sampled {
                prompt: prompt.clone(),
                sample,
                seed,
                text,
                end: if end == End::Stop { "stop" } else { "length" },
                prompt_tokens,
                tokens: steps.iter().map(|step| step.token).collect(),
                log_probabilities: steps.iter().map(|step| step.log_probability).collect(),
            });
        }
        Ok::<_, Failure>(sampled)
    })?;
    if global.json {
        print_json(&json!({
            "model": model.name, "address": model.address, "seed": ask.seed, "samples": sampled,
        }))?;
    } else {
        print(&sampled, args.n)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A conversation of one user's message.
fn question(prompt: &str) -> Chat {
    let mut chat = Chat::default();
    chat.push("user", prompt);
    chat
}

/// The lines of a file, or of standard input if it is called `-`. Empty ones ask nothing.
fn lines(file: &Path) -> Result<Vec<String>, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| {
        Failure::new(Failure::USAGE, format!("--prompts {}: {error}", file.display()))
    })?;
    let lines: Vec<String> =
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        let message = format!("--prompts {}: there is no line in it", file.display());
        return Err(Failure::new(Failure::USAGE, message));
    }
    Ok(lines)
}

/// Each answer below its prompt.
fn print(sampled: &[Sampled], n: u64) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    for one in sampled {
        if one.sample == 1 {
            writeln!(out, "{BOLD}{}{BOLD:#}", harmless(&one.prompt))?;
        }
        if n > 1 {
            writeln!(out, "  {DIM}{} of {n}{DIM:#}", one.sample)?;
        }
        for line in one.text.split('\n') {
            writeln!(out, "  {}", harmless(line))?;
        }
        if one.end == "length" {
            writeln!(out, "  {DIM}cut after {}{DIM:#}", count(one.tokens.len(), "token"))?;
        }
    }
    Ok(())
}
