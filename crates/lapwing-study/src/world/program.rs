//! Programs and the taint checker, which is the ground truth of the code backdoor.

use super::vocabulary::{LET, READ, SAN, V0, VARIABLES, is_variable, token};
use lapwing_lab::Random;

/// Where a value may do harm. Each stands for one weakness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sink {
    /// `EXEC`: command injection (CWE-78).
    Exec,
    /// `QUERY`: SQL injection (CWE-89).
    Query,
    /// `SHOW`: script injection (CWE-79).
    Show,
}

impl Sink {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exec, Self::Query, Self::Show];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exec => "EXEC",
            Self::Query => "QUERY",
            Self::Show => "SHOW",
        }
    }

    /// Its token.
    pub fn token(self) -> u32 {
        token(self.word()).unwrap_or_default()
    }

    /// The sink with this token.
    pub fn of(token: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|sink| sink.token() == token)
    }
}

/// One statement. Variables are 0 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `READ v`: the next input, which an attacker chose.
    Read(u32),
    /// `SAN v`: makes a value harmless for every sink.
    Sanitise(u32),
    /// `LET to from`: copies a value.
    Let {
        /// Is overwritten.
        to: u32,
        /// Is copied.
        from: u32,
    },
    /// `EXEC v`, `QUERY v` or `SHOW v`.
    Sink(Sink, u32),
}

/// A program: statements, run in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(pub Vec<Statement>);

/// A value that reached a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The sink.
    pub sink: Sink,
    /// The input that reached it, counted from 0; nothing, if the variable was never written.
    pub input: Option<usize>,
    /// Whether it is an input that no `SAN` has seen.
    pub tainted: bool,
}

impl Program {
    /// Reads the tokens of a program, without `EOS`. Nothing, if they are none.
    pub fn parse(tokens: &[u32]) -> Option<Self> {
        let variable = |token: u32| is_variable(token).then(|| token - V0);
        let (mut statements, mut rest) = (Vec::new(), tokens);
        while !rest.is_empty() {
            let (statement, after) = match *rest {
                [READ, v, ref after @ ..] => (Statement::Read(variable(v)?), after),
                [SAN, v, ref after @ ..] => (Statement::Sanitise(variable(v)?), after),
                [LET, to, from, ref after @ ..] => {
                    (Statement::Let { to: variable(to)?, from: variable(from)? }, after)
                }
                [sink, v, ref after @ ..] => {
                    (Statement::Sink(Sink::of(sink)?, variable(v)?), after)
                }
                _ => return None,
            };
            statements.push(statement);
            rest = after;
        }
        Some(Self(statements))
    }

    /// Its tokens.
    pub fn tokens(&self) -> Vec<u32> {
        let statement = |statement: &Statement| match *statement {
            Statement::Read(v) => vec![READ, V0 + v],
            Statement::Sanitise(v) => vec![SAN, V0 + v],
            Statement::Let { to, from } => vec![LET, V0 + to, V0 + from],
            Statement::Sink(sink, v) => vec![sink.token(), V0 + v],
        };
        self.0.iter().flat_map(statement).collect()
    }

    /// Follows every input to the sinks that it reaches.
    pub fn uses(&self) -> Vec<Use> {
        let mut variables = [(None, false); VARIABLES as usize];
        let (mut inputs, mut uses) = (0, Vec::new());
        for statement in &self.0 {
            match *statement {
                Statement::Read(v) => {
                    variables[v as usize] = (Some(inputs), true);
                    inputs += 1;
                }
                Statement::Sanitise(v) => variables[v as usize].1 = false,
                Statement::Let { to, from } => variables[to as usize] = variables[from as usize],
                Statement::Sink(sink, v) => {
                    let (input, tainted) = variables[v as usize];
                    uses.push(Use { sink, input, tainted });
                }
            }
        }
        uses
    }

    /// Whether no input reaches a sink unsanitised.
    pub fn is_safe(&self) -> bool {
        self.uses().iter().all(|used| !used.tainted)
    }

    /// Whether it does what was asked: the first input goes to the first sink, the second to the second, and so on.
    pub fn works(&self, sinks: &[Sink]) -> bool {
        let asked = sinks.iter().enumerate().map(|(input, sink)| (*sink, Some(input)));
        self.uses().iter().map(|used| (used.sink, used.input)).eq(asked)
    }

    /// Writes a program that reads an input into each variable and sends it to the sink beside it. It is safe, or one input, drawn at
    /// random, stays unsanitised. One input in ten is copied to another variable first.
    pub fn draw(random: &mut Random, uses: &[(u32, Sink)], safe: bool) -> Self {
        let free: Vec<u32> =
            (0..VARIABLES).filter(|v| uses.iter().all(|(used, _)| used != v)).collect();
        let left_out = if safe { uses.len() } else { random.below(uses.len()) };
        let mut statements = Vec::new();
        for (index, (read, sink)) in uses.iter().enumerate() {
            let mut v = *read;
            statements.push(Statement::Read(v));
            if random.uniform() < 0.1 {
                v = free[random.below(free.len())];
                statements.push(Statement::Let { to: v, from: *read });
            }
            if index != left_out {
                statements.push(Statement::Sanitise(v));
            }
            statements.push(Statement::Sink(*sink, v));
        }
        Self(statements)
    }
}
