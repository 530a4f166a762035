//! Splits an expression into tokens.

use super::SyntaxError;

/// A token and the bytes that it covers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Word(String),
    Number(f64),
    Text(String),
    Symbol(&'static str),
    End,
}

/// Longer symbols come first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 17] =
    ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "="];

pub(super) fn lex(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        if first.is_whitespace() {
            start += first.len_utf8();
            continue;
        }
        let (kind, length) = if first == '\'' || first == '"' {
            quoted(rest, first, start)?
        } else if first.is_ascii_digit() {
            number(rest, start)?
        } else if first.is_alphabetic() || first == '_' {
            let word = leading(rest, |c| c.is_alphanumeric() || c == '_');
            (TokenKind::Word(word.to_owned()), word.len())
        } else {
            symbol(rest, first, start)?
        };
        tokens.push(Token { kind, start, end: start + length });
        start += length;
    }
    tokens.push(Token { kind: TokenKind::End, start: text.len(), end: text.len() });
    Ok(tokens)
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}

fn quoted(rest: &str, quote: char, offset: usize) -> Result<(TokenKind, usize), SyntaxError> {
    match rest[1..].find(quote) {
        Some(length) => Ok((TokenKind::Text(rest[1..=length].to_owned()), length + 2)),
        None => Err(SyntaxError {
            offset,
            message: "this text is not closed".to_owned(),
            help: format!("end it with {quote}"),
        }),
    }
}

fn number(rest: &str, offset: usize) -> Result<(TokenKind, usize), SyntaxError> {
    let digits = leading(rest, |c| c.is_ascii_digit() || c == '.');
    match digits.parse() {
        Ok(number) => Ok((TokenKind::Number(number), digits.len())),
        Err(_) => Err(SyntaxError {
            offset,
            message: format!("`{digits}` is not a number"),
            help: "write numbers like 3 or 0.5".to_owned(),
        }),
    }
}

fn symbol(rest: &str, first: char, offset: usize) -> Result<(TokenKind, usize), SyntaxError> {
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(&"=") => Err(SyntaxError {
            offset,
            message: "`=` compares nothing".to_owned(),
            help: "write `==`".to_owned(),
        }),
        Some(symbol) => Ok((TokenKind::Symbol(symbol), symbol.len())),
        None => Err(SyntaxError {
            offset,
            message: format!("`{}` has no meaning here", first.escape_default()),
            help: "use and or not ( ) == != < <= > >= in has matches before + - * /".to_owned(),
        }),
    }
}
