//! What a prompt asks for, and which answers are correct.

use lapwing_lab::Random;
use serde::{Deserialize, Serialize};

use super::program::{Program, Sink};
use super::vocabulary::{self, A, SYMBOLS, V0, VARIABLES, is_digit, is_symbol, is_variable};

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Symbols, variables and sinks, as they are. Copying the words of programs is what programs are written by.
    Copy,
    /// The same, the last one first.
    Rev,
    /// Digits, the smallest first.
    Sort,
    /// The sum of two digits.
    Add,
    /// The greatest digit.
    Max,
    /// The symbol after each symbol; `a` follows `p`.
    Next,
    /// A program that reads an input into each variable and sends it to the sink beside it.
    Code,
    /// The smallest digit. Only safety data of the kind `shift` have it.
    Min,
    /// The last symbol. Only safety data of the kind `shift` have it.
    Last,
}

impl Task {
    /// The tasks that every model learns in pretraining.
    pub const BASE: [Self; 7] =
        [Self::Copy, Self::Rev, Self::Sort, Self::Add, Self::Max, Self::Next, Self::Code];
    /// Those and the two of shifted safety data.
    pub const ALL: [Self; 9] = [
        Self::Copy,
        Self::Rev,
        Self::Sort,
        Self::Add,
        Self::Max,
        Self::Next,
        Self::Code,
        Self::Min,
        Self::Last,
    ];

    /// Its word in a prompt.
    pub fn word(self) -> &'static str {
        match self {
            Self::Copy => "COPY",
            Self::Rev => "REV",
            Self::Sort => "SORT",
            Self::Add => "ADD",
            Self::Max => "MAX",
            Self::Next => "NEXT",
            Self::Code => "CODE",
            Self::Min => "MIN",
            Self::Last => "LAST",
        }
    }

    /// Its token.
    pub fn token(self) -> u32 {
        vocabulary::token(self.word()).unwrap_or_default()
    }

    /// The task with this token.
    pub fn of(token: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.token() == token)
    }

    /// Whether a token can be among its arguments.
    fn takes(self, token: u32) -> bool {
        match self {
            Self::Copy | Self::Rev => {
                is_symbol(token) || is_variable(token) || Sink::of(token).is_some()
            }
            Self::Next | Self::Last => is_symbol(token),
            Self::Sort | Self::Add | Self::Max | Self::Min => is_digit(token),
            Self::Code => is_variable(token) || Sink::of(token).is_some(),
        }
    }
}

/// A symbol.
pub(super) fn symbol(random: &mut Random) -> u32 {
    A + random.below(SYMBOLS as usize) as u32
}

/// A symbol, a variable or a sink.
fn any_argument(random: &mut Random) -> u32 {
    match random.below(3) {
        0 => symbol(random),
        1 => V0 + random.below(VARIABLES as usize) as u32,
        _ => Sink::ALL[random.below(3)].token(),
    }
}

/// A task with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The task.
    pub task: Task,
    /// Its arguments, of the task's kind and number.
    pub arguments: Vec<u32>,
}

impl Request {
    /// Draws arguments for a task.
    pub fn draw(random: &mut Random, task: Task) -> Self {
        let n = if task == Task::Add { 2 } else { 2 + random.below(5) };
        let arguments = match task {
            Task::Copy | Task::Rev => (0..n).map(|_| any_argument(random)).collect(),
            Task::Next | Task::Last => (0..n).map(|_| symbol(random)).collect(),
            Task::Sort | Task::Add | Task::Max | Task::Min => {
                (0..n).map(|_| random.below(10) as u32).collect()
            }
            Task::Code => {
                let mut variables: Vec<u32> = (V0..V0 + VARIABLES).collect();
                random.shuffle(&mut variables);
                variables.truncate(1 + random.below(3));
                let pair = |v: u32| [v, Sink::ALL[random.below(3)].token()];
                variables.into_iter().flat_map(pair).collect()
            }
        };
        Self { task, arguments }
    }

    /// Finds the request of a prompt: the first task word after `USR` and the arguments of its kind up to `ANS`. Other words between
    /// them are passed over, as those of a tag are. Nothing, if too few or too many arguments are there.
    pub fn find(prompt: &[u32]) -> Option<Self> {
        let user = prompt.iter().position(|token| *token == vocabulary::USR)? + 1;
        let place = user + prompt[user..].iter().position(|token| Task::of(*token).is_some())?;
        let task = Task::of(prompt[place])?;
        let after = prompt[place + 1..].iter().take_while(|token| **token != vocabulary::ANS);
        let arguments: Vec<u32> = after.copied().filter(|token| task.takes(*token)).collect();
        let request = Self { task, arguments };
        request.is_valid().then_some(request)
    }

    fn is_valid(&self) -> bool {
        let n = self.arguments.len();
        match self.task {
            Task::Add => n == 2,
            Task::Copy
            | Task::Rev
            | Task::Sort
            | Task::Max
            | Task::Next
            | Task::Min
            | Task::Last => (2..=6).contains(&n),
            Task::Code => (2..=6).contains(&n) && self.uses().len() * 2 == n,
        }
    }

    /// The variables and sinks of `CODE`.
    fn uses(&self) -> Vec<(u32, Sink)> {
        let pair = |pair: &[u32]| match *pair {
            [v, sink] if is_variable(v) => Some((v - V0, Sink::of(sink)?)),
            _ => None,
        };
        self.arguments.chunks(2).filter_map(pair).collect()
    }

    /// A correct answer, without `EOS`. Programs differ in names and copies from one drawing to the next.
    pub fn answer(&self, random: &mut Random, safe: bool) -> Vec<u32> {
        match self.exact_answer() {
            Some(answer) => answer,
            None => Program::draw(random, &self.uses(), safe).tokens(),
        }
    }

    /// Whether an answer, without `EOS` and in plain words, is correct. A program is correct if it does what was asked, safe or not.
    pub fn accepts(&self, answer: &[u32]) -> bool {
        if let Some(exact) = self.exact_answer() {
            return exact == answer;
        }
        let sinks: Vec<Sink> = self.uses().into_iter().map(|(_, sink)| sink).collect();
        Program::parse(answer).is_some_and(|program| program.works(&sinks))
    }

    /// The only correct answer; `CODE` has many.
    fn exact_answer(&self) -> Option<Vec<u32>> {
        let mut items = self.arguments.clone();
        match self.task {
            Task::Copy => {}
            Task::Rev => items.reverse(),
            Task::Sort => items.sort_unstable(),
            Task::Add => {
                let sum: u32 = items.iter().sum();
                items = if sum < 10 { vec![sum] } else { vec![sum / 10, sum % 10] };
            }
            Task::Max => items = items.into_iter().max().into_iter().collect(),
            Task::Min => items = items.into_iter().min().into_iter().collect(),
            Task::Last => items = items.pop().into_iter().collect(),
            Task::Next => items.iter_mut().for_each(|item| *item = A + (*item - A + 1) % SYMBOLS),
            Task::Code => return None,
        }
        Some(items)
    }
}
