//! `lapwing chat`: a conversation with a model of this machine, in the terminal or through a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anstream::println;
use lapwing_lab::Random;
use lapwing_lab::sample::End;
use lapwing_local::{Ask, AskError, Chat, Local, Segment, Splitter};

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
    let begin = || {
        let mut chat = Chat::default();
        if let Some(system) = &args.system {
            chat.push("system", system);
        }
        chat
    };
    let mut chat = begin();
    let mut n_turns = 0_u64;
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_terminal {
            print_now(&format!("{DIM}>{DIM:#} "))?;
        }
        let Some(line) = lines.next().transpose()? else { return Ok(ExitCode::SUCCESS) };
        if line.is_empty() {
            continue;
        }
        if line == "/new" || !model.is_chat() {
            chat = begin();
        }
        if line == "/new" {
            continue;
        }
        chat.push("user", &line);
        n_turns += 1;
        let seed = Random::new(ask.seed, &format!("turn {n_turns}")).bits();
        match runtime.block_on(answer(&model, &chat, Ask { seed, ..ask.clone() })) {
            Ok(text) => chat.push("assistant", &text),
            Err(failure) if is_terminal => {
                chat.messages.pop();
                anstream::eprintln!("{failure}");
            }
            Err(failure) => return Err(failure),
        }
    }
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
