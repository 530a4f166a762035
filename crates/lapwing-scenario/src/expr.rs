//! Expressions over evidence: rules, `where` conditions, `end` and `exposed`.
//!
//! The language is small and closed. A rule is evaluated in three-valued logic (Kleene): what cannot be decided is
//! unknown with a reason, never false. Every value carries the citations that it rests on.

mod eval;
mod lex;
mod mutate;
mod parse;

use regex::Regex;

pub(crate) use eval::{Scope, quantity, truth};
pub(crate) use mutate::mutations;
pub(crate) use parse::{parse, regex_message};

/// A part of an expression, with its source text.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: Kind,
    /// As written, for messages.
    pub(crate) source: String,
    /// Where it begins, in bytes of the whole expression.
    pub(crate) offset: usize,
}

/// What an expression is made of.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(serde_json::Value),
    /// Evidence in a rule, a field in a `where`.
    Name(String),
    List(Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Operation, Box<Expr>, Box<Expr>),
    Matches(Box<Expr>, Regex),
    /// The first item of the one comes before the first item of the other.
    Before(String, String),
    /// A number or field of the items of one query.
    Of(Function, String, Option<String>),
    /// The share of the distinct words of the one that the other has too, 0 to 1.
    Overlap(Box<Expr>, Box<Expr>),
}

/// Operators that compare two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Has,
}

/// Operators that compute a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Functions over the items of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Count,
    First,
    Last,
    Index,
    Value,
    Mean,
    Min,
    Max,
}

/// A mistake in an expression, at a byte of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Function {
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("count", Self::Count),
        ("first", Self::First),
        ("last", Self::Last),
        ("index", Self::Index),
        ("value", Self::Value),
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
    ];
}

impl Expr {
    /// Every name in it with its place and whether it must name evidence, in the order of the text.
    pub(crate) fn names(&self) -> Vec<NameUse<'_>> {
        let mut names = Vec::new();
        self.collect_names(&mut names);
        names
    }

    /// Every field of evidence that it asks for, `first(x).field`, with the name of the evidence.
    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        match &self.kind {
            Kind::Of(_, name, Some(field)) => vec![(name, field)],
            Kind::Literal(_) | Kind::Name(_) | Kind::Before(..) | Kind::Of(_, _, None) => {
                Vec::new()
            }
            Kind::Not(inner) | Kind::Negative(inner) | Kind::Matches(inner, _) => inner.fields(),
            Kind::List(parts) | Kind::And(parts) | Kind::Or(parts) => {
                parts.iter().flat_map(Self::fields).collect()
            }
            Kind::Compare(_, left, right)
            | Kind::Arithmetic(_, left, right)
            | Kind::Overlap(left, right) => {
                left.fields().into_iter().chain(right.fields()).collect()
            }
        }
    }

    fn collect_names<'a>(&'a self, names: &mut Vec<NameUse<'a>>) {
        let mut found = |name: &'a str, from: usize, evidence_only: bool| {
            let offset = self.source[from..].find(name).unwrap_or(0);
            names.push(NameUse { name, offset: self.offset + from + offset, evidence_only });
        };
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Name(name) => found(name, 0, false),
            // The name stands behind the last parenthesis that is opened, the function's own.
            Kind::Of(_, name, _) => found(name, self.source.rfind('(').unwrap_or(0), true),
            Kind::Before(left, right) => {
                found(left, 0, true);
                let offset = self.offset + self.source.rfind(right.as_str()).unwrap_or(0);
                names.push(NameUse { name: right, offset, evidence_only: true });
            }
            Kind::Not(inner) | Kind::Negative(inner) | Kind::Matches(inner, _) => {
                inner.collect_names(names);
            }
            Kind::List(parts) | Kind::And(parts) | Kind::Or(parts) => {
                for part in parts {
                    part.collect_names(names);
                }
            }
            Kind::Compare(_, left, right)
            | Kind::Arithmetic(_, left, right)
            | Kind::Overlap(left, right) => {
                left.collect_names(names);
                right.collect_names(names);
            }
        }
    }
}

/// A name as it is used in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameUse<'a> {
    pub(crate) name: &'a str,
    pub(crate) offset: usize,
    /// It stands where only a query can stand, not a field.
    pub(crate) evidence_only: bool,
}
