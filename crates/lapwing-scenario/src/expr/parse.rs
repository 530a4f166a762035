//! Parses an expression by recursive descent: `or`, `and`, `not`, comparison, sum, product, operand.

use regex::Regex;
use serde_json::Value;

use super::lex::{Token, TokenKind, lex};
use super::{Comparison, Expr, Function, Kind, Operation, SyntaxError};

/// The help for a token in the wrong place.
const OPERATORS: &str =
    "the operators are: and or not ( ) == != < <= > >= in has matches before + - * /";

/// Deeper nesting is refused, so that no text can exhaust the stack.
const MAX_DEPTH: usize = 64;

const COMPARISONS: [(&str, Comparison); 8] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("in", Comparison::In),
    ("has", Comparison::Has),
];

/// Words that cannot be names.
const KEYWORDS: [&str; 10] =
    ["and", "or", "not", "in", "has", "matches", "before", "true", "false", "overlap"];

pub(crate) fn parse(text: &str) -> Result<Expr, SyntaxError> {
    let mut parser = Parser { text, tokens: lex(text)?, at: 0, depth: 0 };
    let expr = parser.or()?;
    match parser.peek() {
        TokenKind::End => Ok(expr),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expr, SyntaxError>;

impl Parser<'_> {
    fn or(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("nested too deeply", "split the rule into two behaviours"));
        }
        let result = self.joined("or", Self::and, Kind::Or);
        self.depth -= 1;
        result
    }

    fn and(&mut self) -> Parsed {
        self.joined("and", Self::not, Kind::And)
    }

    fn joined(
        &mut self,
        word: &str,
        operand: impl Fn(&mut Self) -> Parsed,
        join: impl Fn(Vec<Expr>) -> Kind,
    ) -> Parsed {
        let start = self.start();
        let first = operand(self)?;
        let mut operands = vec![first];
        while self.take(word) {
            operands.push(operand(self)?);
        }
        if operands.len() > 1 {
            return Ok(self.expr(start, join(operands)));
        }
        operands.pop().ok_or_else(|| self.unexpected("an operand"))
    }

    fn not(&mut self) -> Parsed {
        let start = self.start();
        let mut negations = 0;
        while self.take("not") {
            negations += 1;
        }
        let mut expr = self.comparison()?;
        if negations > MAX_DEPTH {
            return Err(self.error("nested too deeply", "one `not` is enough"));
        }
        for _ in 0..negations {
            expr = self.expr(start, Kind::Not(Box::new(expr)));
        }
        Ok(expr)
    }

    fn comparison(&mut self) -> Parsed {
        let start = self.start();
        let left = self.sum()?;
        if let Some((_, comparison)) = COMPARISONS.iter().find(|(word, _)| self.take(word)) {
            let right = self.sum()?;
            return Ok(
                self.expr(start, Kind::Compare(*comparison, Box::new(left), Box::new(right)))
            );
        }
        if self.take("matches") {
            let pattern = self.pattern()?;
            return Ok(self.expr(start, Kind::Matches(Box::new(left), pattern)));
        }
        if self.take("before") {
            let right = self.name("an evidence name")?;
            let Kind::Name(left) = left.kind else {
                return Err(SyntaxError {
                    offset: start,
                    message: "`before` compares two pieces of evidence".to_owned(),
                    help: "write the names of two queries: `x before y`".to_owned(),
                });
            };
            return Ok(self.expr(start, Kind::Before(left, right)));
        }
        Ok(left)
    }

    fn pattern(&mut self) -> Result<Regex, SyntaxError> {
        let offset = self.start();
        let TokenKind::Text(pattern) = self.peek().clone() else {
            return Err(self.unexpected("a pattern in quotes"));
        };
        self.at += 1;
        Regex::new(&pattern).map_err(|error| SyntaxError {
            offset,
            message: regex_message(&error),
            help: "it is a regular expression; write a backslash before . * + ? ( ) [ ] { } ^ $ |"
                .to_owned(),
        })
    }

    fn sum(&mut self) -> Parsed {
        let operations = [("+", Operation::Add), ("-", Operation::Subtract)];
        self.arithmetic(&operations, Self::product)
    }

    fn product(&mut self) -> Parsed {
        let operations = [("*", Operation::Multiply), ("/", Operation::Divide)];
        self.arithmetic(&operations, Self::operand)
    }

    fn arithmetic(
        &mut self,
        operations: &[(&str, Operation)],
        operand: impl Fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let start = self.start();
        let mut left = operand(self)?;
        let mut operators = 0;
        while let Some((_, operation)) = operations.iter().find(|(symbol, _)| self.take(symbol)) {
            operators += 1;
            if operators > MAX_DEPTH {
                return Err(self.error("too many operators", "split the rule"));
            }
            let right = operand(self)?;
            left = self.expr(start, Kind::Arithmetic(*operation, Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Parsed {
        let start = self.start();
        let kind = match self.peek().clone() {
            TokenKind::Number(number) => self.literal(Value::from(number)),
            TokenKind::Text(text) => self.literal(Value::from(text)),
            TokenKind::Word(word) if word == "true" || word == "false" => {
                self.literal(Value::from(word == "true"))
            }
            TokenKind::Word(word) if word == "overlap" => self.overlap()?,
            TokenKind::Word(word) => self.word(&word)?,
            TokenKind::Symbol("(") => {
                self.at += 1;
                let inner = self.or()?;
                self.expect(")")?;
                inner.kind
            }
            TokenKind::Symbol("[") => self.list()?,
            TokenKind::Symbol("-") => {
                self.at += 1;
                match self.peek().clone() {
                    TokenKind::Number(number) => self.literal(Value::from(-number)),
                    _ => Kind::Negative(Box::new(self.nested(Self::operand)?)),
                }
            }
            TokenKind::Symbol(_) | TokenKind::End => return Err(self.unexpected("a name or value")),
        };
        Ok(self.expr(start, kind))
    }

    fn nested(&mut self, operand: impl Fn(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error("nested too deeply", "one `-` is enough"));
        }
        let result = operand(self);
        self.depth -= 1;
        result
    }

    fn literal(&mut self, value: Value) -> Kind {
        self.at += 1;
        Kind::Literal(value)
    }

    fn list(&mut self) -> Result<Kind, SyntaxError> {
        self.expect("[")?;
        let mut parts = Vec::new();
        while !self.take("]") {
            parts.push(self.or()?);
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Kind::List(parts))
    }

    fn overlap(&mut self) -> Result<Kind, SyntaxError> {
        self.at += 1;
        self.expect("(")?;
        let left = self.or()?;
        self.expect(",")?;
        let right = self.or()?;
        self.expect(")")?;
        Ok(Kind::Overlap(Box::new(left), Box::new(right)))
    }

    /// A name, or a function of the items of a query: `count(x)`, `first(x).field`.
    fn word(&mut self, word: &str) -> Result<Kind, SyntaxError> {
        let name = self.name("a name or value")?;
        let function = Function::ALL.iter().find(|(known, _)| *known == word);
        let Some((_, function)) = function.filter(|_| *self.peek() == TokenKind::Symbol("("))
        else {
            return Ok(Kind::Name(name));
        };
        self.expect("(")?;
        let query = self.name("an evidence name")?;
        self.expect(")")?;
        let field = if self.take(".") { Some(self.name("a field name")?) } else { None };
        let needs_field = matches!(function, Function::First | Function::Last);
        if needs_field && field.is_none() {
            let help =
                format!("write `{word}({query}).FIELD`; `index({query})` is its event number");
            return Err(self.error("the field is missing", &help));
        }
        Ok(Kind::Of(*function, query, field))
    }

    fn name(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.peek().clone() {
            TokenKind::Word(word) if !KEYWORDS.contains(&word.as_str()) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let here = match self.peek() {
            TokenKind::Word(found) => found == word,
            TokenKind::Symbol(found) => *found == word,
            TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::End => false,
        };
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn peek(&self) -> &TokenKind {
        self.tokens.get(self.at).map_or(&TokenKind::End, |token| &token.kind)
    }

    fn start(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.start)
    }

    fn expr(&self, start: usize, kind: Kind) -> Expr {
        let end = self.tokens[..self.at].last().map_or(start, |token| token.end).max(start);
        Expr { kind, source: self.text[start..end].to_owned(), offset: start }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let token = self.tokens.get(self.at);
        let found = token.and_then(|token| self.text.get(token.start..token.end)).unwrap_or("");
        let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        self.error(&format!("expected {wanted}, got {found}"), OPERATORS)
    }

    fn error(&self, message: &str, help: &str) -> SyntaxError {
        SyntaxError { offset: self.start(), message: message.to_owned(), help: help.to_owned() }
    }
}

/// The last line of the regex crate's message, which says what is wrong without drawing it.
pub(crate) fn regex_message(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("").trim();
    format!("the pattern is malformed: {}", last.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::expr::{Scope, mutations, truth};

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_and() {
        let Kind::Or(operands) = parse("a or not b and c < 1 + 2 * 3").unwrap().kind else {
            panic!("not an or")
        };
        let Kind::And(operands) = &operands[1].kind else { panic!("not an and") };
        assert!(matches!(&operands[0].kind, Kind::Not(_)));
        let Kind::Compare(Comparison::Less, _, sum) = &operands[1].kind else {
            panic!("not a comparison")
        };
        let Kind::Arithmetic(Operation::Add, _, product) = &sum.kind else { panic!("not a sum") };
        assert_eq!((product.source.as_str(), product.offset), ("2 * 3", 23));
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        for (text, offset, message) in [
            ("", 0, "expected a name or value, got the end"),
            ("a and", 5, "expected a name or value, got the end"),
            ("a b", 2, "expected `and`, `or` or the end, got `b`"),
            ("(a", 2, "expected `)`, got the end"),
            ("a = b", 2, "`=` compares nothing"),
            ("a == 'x", 5, "this text is not closed"),
            ("a == 1.2.3", 5, "`1.2.3` is not a number"),
            ("a & b", 2, "`&` has no meaning here"),
            ("a matches b", 10, "expected a pattern in quotes, got `b`"),
            ("a matches '('", 10, "the pattern is malformed: unclosed group"),
            ("count(1)", 6, "expected an evidence name, got `1`"),
            ("first(a) == 1", 9, "the field is missing"),
            ("(a and b) before c", 0, "`before` compares two pieces of evidence"),
            ("a before not", 9, "expected an evidence name, got `not`"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.offset, error.message.as_str()), (offset, message), "{text}");
        }
    }

    #[test]
    fn a_name_is_found_behind_the_function_that_has_its_letters() {
        let offsets = |text: &str| {
            parse(text).unwrap().names().iter().map(|name| name.offset).collect::<Vec<_>>()
        };
        assert_eq!(offsets("1 < count(count)"), [10]);
        assert_eq!(offsets("(first( f ).f == 1) and min(in_) < 2"), [8, 28]);
    }

    #[test]
    fn nesting_that_could_exhaust_the_stack_is_refused() {
        for text in ["(".repeat(10_000), "not ".repeat(10_000) + "a", "- ".repeat(10_000) + "a"] {
            assert!(parse(&text).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_or_the_evaluator_panic(text in "\\PC{0,60}") {
            check(&text);
        }

        #[test]
        fn no_row_of_tokens_makes_the_parser_or_the_evaluator_panic(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "and", "or", "not", "(", ")", "[", "]", ",", "==", "<", "in", "has", "matches",
                    "before", "+", "-", "*", "/", "count", "first", "overlap", ".", "a", "é", "'x'",
                    "3", "true",
                ]),
                0..16,
            )
        ) {
            check(&words.join(" "));
        }
    }

    fn check(text: &str) {
        if let Ok(expr) = parse(text) {
            let found = std::collections::BTreeMap::new();
            let _ = truth(&expr, Scope::Evidence(&found));
            for mutation in mutations(&expr) {
                let _ = truth(&mutation.rule, Scope::Evidence(&found));
            }
            for name in expr.names() {
                assert_eq!(&text[name.offset..name.offset + name.name.len()], name.name);
            }
        }
    }
}
