//! Mutations of a rule. If no policy is misread under one of them, the mutated part proves nothing.

use super::{Expr, Kind};

/// A changed rule and what was changed.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) description: String,
    pub(crate) rule: Expr,
}

/// Every rule that differs from `rule` by one dropped operand of `and`/`or` or by one negated atom.
pub(crate) fn mutations(rule: &Expr) -> Vec<Mutation> {
    let described = |(change, mutated): (String, Expr)| Mutation {
        description: format!("{change} `{}`", rule.source),
        rule: mutated,
    };
    changed(rule).into_iter().map(described).collect()
}

fn changed(expr: &Expr) -> Vec<(String, Expr)> {
    match &expr.kind {
        Kind::And(operands) => of_operands(expr, operands, Kind::And),
        Kind::Or(operands) => of_operands(expr, operands, Kind::Or),
        Kind::Not(inner) => rebuilt(expr, inner, |inner| Kind::Not(Box::new(inner))),
        Kind::Literal(_)
        | Kind::Name(_)
        | Kind::List(_)
        | Kind::Negative(_)
        | Kind::Compare(..)
        | Kind::Arithmetic(..)
        | Kind::Matches(..)
        | Kind::Before(..)
        | Kind::Of(..)
        | Kind::Overlap(..) => {
            let negated = with_kind(expr, Kind::Not(Box::new(expr.clone())));
            vec![(format!("`{}` negated in", expr.source), negated)]
        }
    }
}

fn of_operands(
    expr: &Expr,
    operands: &[Expr],
    join: impl Fn(Vec<Expr>) -> Kind,
) -> Vec<(String, Expr)> {
    let dropped = operands.iter().enumerate().map(|(index, operand)| {
        let mut rest = operands.to_vec();
        rest.remove(index);
        let kind = match <[Expr; 1]>::try_from(rest) {
            Ok([only]) => only.kind,
            Err(rest) => join(rest),
        };
        (format!("`{}` dropped from", operand.source), with_kind(expr, kind))
    });
    let replaced = operands.iter().enumerate().flat_map(|(index, operand)| {
        rebuilt(expr, operand, |operand| {
            let mut operands = operands.to_vec();
            operands[index] = operand;
            join(operands)
        })
    });
    dropped.chain(replaced).collect()
}

fn rebuilt(expr: &Expr, part: &Expr, rebuild: impl Fn(Expr) -> Kind) -> Vec<(String, Expr)> {
    let changed = changed(part).into_iter();
    changed.map(|(change, part)| (change, with_kind(expr, rebuild(part)))).collect()
}

fn with_kind(expr: &Expr, kind: Kind) -> Expr {
    Expr { kind, source: expr.source.clone(), offset: expr.offset }
}
