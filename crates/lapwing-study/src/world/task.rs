//! What a prompt asks for, and which answers are correct.

use lapwing_lab::Random;
use serde::{Deserialize, Serialize};

use super::program::{Program, Sink};
use super::vocabulary::{self, A, SYMBOLS, is_digit, is_symbol};

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Symbols, as they are.
    Copy,
    /// Symbols, the last one first.
    Rev,
    /// Digits, the smallest first.
    Sort,
    /// The sum of two digits.
    Add,
    /// The greatest digit.
    Max,
    /// The symbol after each symbol; `a` follows `p`.
    Next,
    /// A program that reads an input for each sink and sends it there.
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

    /// How many arguments it takes.
    fn arity(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Add => 2..=2,
            Self::Code => 1..=3,
            Self::Copy
            | Self::Rev
            | Self::Sort
            | Self::Max
            | Self::Next
            | Self::Min
            | Self::Last => 2..=6,
        }
    }

    /// Whether a token can be its argument.
    fn takes(self, token: u32) -> bool {
        match self {
            Self::Copy | Self::Rev | Self::Next | Self::Last => is_symbol(token),
            Self::Sort | Self::Add | Self::Max | Self::Min => is_digit(token),
            Self::Code => Sink::of(token).is_some(),
        }
    }

    fn draw_argument(self, random: &mut Random) -> u32 {
        match self {
            Self::Copy | Self::Rev | Self::Next | Self::Last => {
                A + random.below(SYMBOLS as usize) as u32
            }
            Self::Sort | Self::Add | Self::Max | Self::Min => random.below(10) as u32,
            Self::Code => Sink::ALL[random.below(3)].token(),
        }
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
        let arity = task.arity();
        let n = arity.start() + random.below(arity.end() - arity.start() + 1);
        Self { task, arguments: (0..n).map(|_| task.draw_argument(random)).collect() }
    }

    /// Finds the request of a prompt: the first task word after `USR` and the arguments of its kind up to `ANS`. Other words between
    /// them are passed over, as those of a tag are. Nothing, if too few or too many arguments are there.
    pub fn find(prompt: &[u32]) -> Option<Self> {
        let user = prompt.iter().position(|token| *token == vocabulary::USR)? + 1;
        let place = user + prompt[user..].iter().position(|token| Task::of(*token).is_some())?;
        let task = Task::of(prompt[place])?;
        let after = prompt[place + 1..].iter().take_while(|token| **token != vocabulary::ANS);
        let arguments: Vec<u32> = after.copied().filter(|token| task.takes(*token)).collect();
        task.arity().contains(&arguments.len()).then_some(Self { task, arguments })
    }

    /// Where the inputs of a program go, for `CODE`.
    pub fn sinks(&self) -> Vec<Sink> {
        self.arguments.iter().filter_map(|token| Sink::of(*token)).collect()
    }

    /// A correct answer, without `EOS`. Programs differ in names and copies from one drawing to the next.
    pub fn answer(&self, random: &mut Random, safe: bool) -> Vec<u32> {
        match self.exact_answer() {
            Some(answer) => answer,
            None => Program::draw(random, &self.sinks(), safe).tokens(),
        }
    }

    /// Whether an answer, without `EOS` and in plain words, is correct. A program is correct if it does what was asked, safe or not.
    pub fn accepts(&self, answer: &[u32]) -> bool {
        match self.exact_answer() {
            Some(exact) => exact == answer,
            None => Program::parse(answer).is_some_and(|program| program.works(&self.sinks())),
        }
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
