//! Evaluates expressions in Kleene's three-valued logic, with what each value rests on.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use lapwing_core::Citation;
use serde_json::{Number, Value};

use super::{Comparison, Expr, Function, Kind, Operation};
use crate::evidence::{Found, Item, Unknown};

/// What the names of an expression mean.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// A rule: names are queries.
    Evidence(&'a BTreeMap<String, Found>),
    /// A `where`: names are fields of one item.
    Item(&'a Item),
}

/// A value, or why it is not known, and the events that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged<T> {
    pub(crate) known: Result<T, Unknown>,
    pub(crate) cites: BTreeSet<Citation>,
}

impl<T> Judged<T> {
    fn unknown(reason: impl Into<Unknown>) -> Self {
        Self { known: Err(reason.into()), cites: BTreeSet::new() }
    }

    fn and_then<U>(self, compute: impl FnOnce(T) -> Result<U, String>) -> Judged<U> {
        let known = self.known.and_then(|value| compute(value).map_err(Unknown::Missing));
        Judged { known, cites: self.cites }
    }

    fn and_found<U>(self, compute: impl FnOnce(T) -> Result<U, Unknown>) -> Judged<U> {
        Judged { known: self.known.and_then(compute), cites: self.cites }
    }
}

/// Whether `expr` holds. Unknown if it is neither true nor false.
pub(crate) fn truth(expr: &Expr, scope: Scope<'_>) -> Judged<bool> {
    evaluate(expr, scope).and_then(|value| match value {
        Value::Bool(value) => Ok(value),
        other => Err(format!("`{}` is {other}, neither true nor false", expr.source)),
    })
}

/// The number that `expr` comes to. Unknown if it is something else.
pub(crate) fn quantity(expr: &Expr, scope: Scope<'_>) -> Judged<f64> {
    evaluate(expr, scope).and_then(|value| {
        value.as_f64().ok_or_else(|| format!("`{}` is {value}, not a number", expr.source))
    })
}

/// The value of `expr`.
fn evaluate(expr: &Expr, scope: Scope<'_>) -> Judged<Value> {
    match &expr.kind {
        Kind::Literal(value) => Judged { known: Ok(value.clone()), cites: BTreeSet::new() },
        Kind::Name(name) => named(name, scope),
        Kind::List(parts) => list(parts, scope),
        Kind::Not(inner) => truth(inner, scope).and_then(|value| Ok(Value::Bool(!value))),
        Kind::Negative(inner) => evaluate(inner, scope).and_then(|value| finite(-number(&value)?)),
        Kind::And(operands) => joined(operands, scope, false),
        Kind::Or(operands) => joined(operands, scope, true),
        Kind::Compare(comparison, left, right) => both(left, right, scope, |left, right| {
            compare(*comparison, left, right).map(Value::Bool)
        }),
        Kind::Arithmetic(operation, left, right) => {
            both(left, right, scope, |left, right| arithmetic(*operation, left, right))
        }
        Kind::Matches(inner, pattern) => evaluate(inner, scope)
            .and_then(|value| Ok(Value::Bool(pattern.is_match(text(&value)?)))),
        Kind::Before(left, right) => before(left, right, scope),
        Kind::Of(function, name, field) => of(*function, name, field.as_deref(), scope),
        Kind::Overlap(left, right) => both(left, right, scope, overlap),
    }
}

/// `and` (`decisive` is false) or `or` (`decisive` is true): one operand of the decisive value settles it, whatever is
/// unknown beside it. The citations are those of the operands that settled it.
fn joined(operands: &[Expr], scope: Scope<'_>, decisive: bool) -> Judged<Value> {
    let operands: Vec<_> = operands.iter().map(|operand| truth(operand, scope)).collect();
    let cites_of = |wanted: bool| {
        let agreeing = operands.iter().filter(|operand| operand.known == Ok(wanted));
        agreeing.flat_map(|operand| operand.cites.clone()).collect()
    };
    if operands.iter().any(|operand| operand.known == Ok(decisive)) {
        return Judged { known: Ok(Value::Bool(decisive)), cites: cites_of(decisive) };
    }
    let reasons = operands.iter().filter_map(|operand| operand.known.clone().err());
    match Unknown::all(reasons) {
        Some(reason) => Judged::unknown(reason),
        None => Judged { known: Ok(Value::Bool(!decisive)), cites: cites_of(!decisive) },
    }
}

fn both(
    left: &Expr,
    right: &Expr,
    scope: Scope<'_>,
    compute: impl FnOnce(&Value, &Value) -> Result<Value, String>,
) -> Judged<Value> {
    let (left, right) = (evaluate(left, scope), evaluate(right, scope));
    let cites = left.cites.into_iter().chain(right.cites).collect();
    let known = match (left.known, right.known) {
        (Ok(left), Ok(right)) => compute(&left, &right).map_err(Unknown::Missing),
        (left, right) => Err(either(left.err(), right.err())),
    };
    Judged { known, cites }
}

/// The reason for which at least one of two values is not known.
fn either(left: Option<Unknown>, right: Option<Unknown>) -> Unknown {
    let reasons = left.into_iter().chain(right);
    Unknown::all(reasons).unwrap_or_else(|| Unknown::Missing("it is not known".to_owned()))
}

fn list(parts: &[Expr], scope: Scope<'_>) -> Judged<Value> {
    let parts: Vec<_> = parts.iter().map(|part| evaluate(part, scope)).collect();
    let cites = parts.iter().flat_map(|part| part.cites.clone()).collect();
    let (values, reasons): (Vec<_>, Vec<_>) =
        parts.into_iter().map(|part| part.known).partition(Result::is_ok);
    let reason = Unknown::all(reasons.into_iter().filter_map(Result::err));
    let values = values.into_iter().filter_map(Result::ok).collect();
    Judged { known: reason.map_or(Ok(Value::Array(values)), Err), cites }
}

fn named(name: &str, scope: Scope<'_>) -> Judged<Value> {
    match scope {
        Scope::Item(item) => {
            let missing = || format!("event {} has no field `{name}`", item.seq);
            let known = item.fields.get(name).cloned().ok_or_else(missing);
            Judged { known: known.map_err(Unknown::Missing), cites: BTreeSet::new() }
        }
        // One item is enough, whatever may be missing beside it.
        Scope::Evidence(_) => known(name, scope).and_found(|found| {
            let is_there = !found.items.is_empty();
            if is_there { Ok(Value::Bool(true)) } else { found.all().map(|_| Value::Bool(false)) }
        }),
    }
}

/// All items of a query; unknown if there may be more than were found.
fn items<'a>(name: &str, scope: Scope<'a>) -> Judged<&'a [Item]> {
    known(name, scope).and_found(Found::all)
}

/// What a query found. Nothing found cites the last event that was looked at: an absence rests on having looked.
fn known<'a>(name: &str, scope: Scope<'a>) -> Judged<&'a Found> {
    let found = match scope {
        Scope::Evidence(evidence) => evidence.get(name),
        Scope::Item(_) => None,
    };
    let Some(found) = found else { return Judged::unknown(format!("no evidence `{name}`")) };
    let citation =
        |seq: u64, what: &str| Citation { seq, query: name.to_owned(), what: what.to_owned() };
    let cites = if found.items.is_empty() {
        found.looked_at.iter().map(|seq| citation(*seq, "none up to here")).collect()
    } else {
        found.items.iter().map(|item| citation(item.seq, &item.what)).collect()
    };
    Judged { known: Ok(found), cites }
}

fn before(left: &str, right: &str, scope: Scope<'_>) -> Judged<Value> {
    let (left, right) = (items(left, scope), items(right, scope));
    let first = |items: &[Item]| items.first().map(|item| item.seq);
    let known = match (&left.known, &right.known) {
        // Without an item of the one, nothing of it can come before or after the other.
        (Ok([]), _) | (_, Ok([])) => Ok(Value::Bool(false)),
        (Ok(left), Ok(right)) => Ok(Value::Bool(first(left) < first(right))),
        (left, right) => Err(either(left.clone().err(), right.clone().err())),
    };
    Judged { known, cites: left.cites.into_iter().chain(right.cites).collect() }
}

fn of(function: Function, name: &str, field: Option<&str>, scope: Scope<'_>) -> Judged<Value> {
    items(name, scope).and_then(|items| {
        let field_of = |item: &Item| {
            let field = field.unwrap_or("value");
            let missing = || format!("event {} has no field `{field}`", item.seq);
            item.fields.get(field).cloned().ok_or_else(missing)
        };
        let none = || format!("`{name}` has no item");
        match function {
            Function::Count => finite(items.len() as f64),
            Function::Index => finite(items.first().ok_or_else(none)?.seq as f64),
            Function::First | Function::Value => field_of(items.first().ok_or_else(none)?),
            Function::Last => field_of(items.last().ok_or_else(none)?),
            Function::Mean | Function::Min | Function::Max => {
                let numbers = items.iter().map(|item| number(&field_of(item)?));
                let numbers = numbers.collect::<Result<Vec<f64>, String>>()?;
                let summary = match function {
                    Function::Min => numbers.iter().copied().reduce(f64::min),
                    Function::Max => numbers.iter().copied().reduce(f64::max),
                    Function::Mean
                    | Function::Count
                    | Function::First
                    | Function::Last
                    | Function::Index
                    | Function::Value => {
                        let sum = numbers.iter().copied().reduce(|sum, number| sum + number);
                        sum.map(|sum| sum / numbers.len() as f64)
                    }
                };
                finite(summary.ok_or_else(none)?)
            }
        }
    })
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    Ok(match comparison {
        Comparison::Equal => equal(left, right)?,
        Comparison::Unequal => !equal(left, right)?,
        Comparison::Less => order(left, right)?.is_lt(),
        Comparison::LessOrEqual => order(left, right)?.is_le(),
        Comparison::Greater => order(left, right)?.is_gt(),
        Comparison::GreaterOrEqual => order(left, right)?.is_ge(),
        Comparison::In => contains(right, left)?,
        Comparison::Has => contains(left, right)?,
    })
}

/// Equality in which 3 and 3.0 are one number, and 0 and -0. Values of different kinds are not merely unequal: whoever
/// compares them takes one for what it is not. Only null, a field without a value, differs from all others.
fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    if let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) {
        return Ok(left.partial_cmp(&right).is_some_and(Ordering::is_eq));
    }
    let same_kind = discriminant(left) == discriminant(right);
    if same_kind || left.is_null() || right.is_null() {
        return Ok(left == right);
    }
    Err(incomparable(left, right))
}

fn order(left: &Value, right: &Value) -> Result<Ordering, String> {
    if let (Value::String(left), Value::String(right)) = (left, right) {
        return Ok(left.cmp(right));
    }
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else {
        return Err(incomparable(left, right));
    };
    left.partial_cmp(&right).ok_or_else(|| "the number is not finite".to_owned())
}

/// Whether `whole` has `part`. In a list, one equal entry settles it whatever the others are.
fn contains(whole: &Value, part: &Value) -> Result<bool, String> {
    match (whole, part) {
        (Value::Array(parts), _) => {
            let compared: Vec<_> = parts.iter().map(|candidate| equal(candidate, part)).collect();
            if compared.contains(&Ok(true)) {
                return Ok(true);
            }
            compared.into_iter().collect::<Result<Vec<_>, _>>().map(|_| false)
        }
        (Value::String(whole), Value::String(part)) => Ok(whole.contains(part.as_str())),
        (Value::String(_), _) => Err(incomparable(whole, part)),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_), _) => {
            Err(format!("{whole} is neither a text nor a list"))
        }
    }
}

fn incomparable(left: &Value, right: &Value) -> String {
    let named = |value: &Value| match value {
        Value::String(_) => format!("the text {value}"),
        Value::Number(number) => format!("the number {}", number.as_f64().unwrap_or_default()),
        Value::Array(_) => format!("the list {value}"),
        Value::Null | Value::Bool(_) | Value::Object(_) => value.to_string(),
    };
    format!("cannot compare {} with {}", named(left), named(right))
}

fn arithmetic(operation: Operation, left: &Value, right: &Value) -> Result<Value, String> {
    let (left, right) = (number(left)?, number(right)?);
    finite(match operation {
        Operation::Add => left + right,
        Operation::Subtract => left - right,
        Operation::Multiply => left * right,
        Operation::Divide => left / right,
    })
}

fn overlap(left: &Value, right: &Value) -> Result<Value, String> {
    let words = |value: &Value| {
        let text = text(value)?.to_lowercase();
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Ok::<BTreeSet<String>, String>(words.map(str::to_owned).collect())
    };
    let (left, right) = (words(left)?, words(right)?);
    if left.is_empty() {
        return Err("`overlap` of a text without words".to_owned());
    }
    finite(left.intersection(&right).count() as f64 / left.len() as f64)
}

fn number(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{value} is not a number"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is not a text"))
}

fn finite(number: f64) -> Result<Value, String> {
    let number = Number::from_f64(number).ok_or_else(|| "the number is not finite".to_owned())?;
    Ok(Value::Number(number))
}

#[cfg(test)]
mod tests;
