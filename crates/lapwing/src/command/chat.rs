//! `lapwing chat`: a conversation with a model of this machine, in the terminal or through a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anstream::println;
use lapwing_lab::Random;
use lapwing_lab::sample::End;
use lapwing_local::{Ask, AskError, Chat, Local, Segment, Splitter};
use minijinja::Value;

use super::{local, start};
use crate::args;
use crate::failure::Failure;
use crate::render::{DIM, say};
use crate::transcript::harmless;

pub(crate) fn run(args: &args::Chat) -> Result<ExitCode, Failure> {
    let model = local::load(&args.model)?;
    if args.system.is_some() && !model.is_chat() {
        return Err(AskError::NoTemplate(model.name.clone()).into());
    }
    let ask = args.drawing.ask()?;
    let runtime = start::runtime()?;
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        let kind = if model.is_chat() { "answers" } else { "continues each line" };
        say(&format!("{} {kind}; /new begins again, the end of the input ends", model.name));
    }
    let system = args.system.as_deref().map(|text| message("system", text));
    let mut conversation: Vec<Value> = system.iter().cloned().collect();
    let mut n_turns = 0_u64;
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_terminal {
            print_now(&format!("{DIM}>{DIM:#} "))?;
        }
        let Some(line) = lines.next().transpose()? else { return Ok(ExitCode::SUCCESS) };
        match line.as_str() {
            "" => continue,
            "/new" => {
                conversation = system.iter().cloned().collect();
                continue;
            }
            _ => {}
        }
        conversation.push(message("user", &line));
        n_turns += 1;
        let seed = Random::new(ask.seed, &format!("turn {n_turns}")).bits();
        let chat = Chat { messages: conversation.clone(), ..Chat::default() };
        let said = runtime.block_on(answer(&model, &chat, Ask { seed, ..ask.clone() }));
        match said {
            Ok(text) => conversation.push(message("assistant", &text)),
            Err(failure) if is_terminal => {
                conversation.pop();
                anstream::eprintln!("{failure}");
            }
            Err(failure) => return Err(failure),
        }
        if !model.is_chat() {
            conversation.clear();
        }
    }
}

fn message(role: &str, text: &str) -> Value {
    Value::from_pairs([("role", role), ("content", text)])
}

/// Prints an answer as it comes, and returns its words, without reasoning.
async fn answer(model: &Arc<Local>, chat: &Chat, ask: Ask) -> Result<String, Failure> {
    let rendered = model.render(chat)?;
    let mut answer = model.answer(model.chat_tokens(&rendered)?, ask).await?;
    let mut splitter = Splitter::new(&rendered, false);
    let (mut words, mut n_tokens, mut end) = (String::new(), 0, None);
    while let Some(piece) = answer.next().await? {
        n_tokens += 1;
        end = piece.end;
        for segment in splitter.push(&piece.text) {
            print_segment(&segment, &mut words)?;
        }
    }
    for segment in splitter.finish() {
        print_segment(&segment, &mut words)?;
    }
    if end == Some(End::Stop) {
        println!();
    } else {
        println!(" {DIM}(cut after {}){DIM:#}", crate::render::count(n_tokens, "token"));
    }
    Ok(words)
}

fn print_segment(segment: &Segment, words: &mut String) -> io::Result<()> {
    match segment {
        Segment::Text(text) => {
            words.push_str(text);
            print_now(&harmless_lines(text))
        }
        Segment::Reasoning(text) => print_now(&format!("{DIM}{}{DIM:#}", harmless_lines(text))),
        // Only where tools are offered, which nobody does here.
        Segment::Call { .. } => Ok(()),
    }
}

/// What may be printed of a text of several lines.
fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

fn print_now(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout();
    write!(out, "{text}")?;
    out.flush()
}
