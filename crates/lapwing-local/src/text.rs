//! From tokens that come one by one to text: characters and stops may lie across the borders of tokens.

use lapwing_lab::{Tokenizer, TokenizerError};

/// The text of a sequence that grows. What is given out is never taken back.
#[derive(Default)]
pub(crate) struct Text {
    tokens: Vec<u32>,
    /// Tokens before this are not decoded again; those from there to `told` only because decoders look at neighbours.
    begin: usize,
    /// Tokens whose text was given out.
    told: usize,
}

impl Text {
    /// Adds a token and gives out the text that is now complete; a character of several tokens comes with the last of them.
    pub(crate) fn push(
        &mut self,
        tokenizer: &Tokenizer,
        token: u32,
    ) -> Result<String, TokenizerError> {
        self.tokens.push(token);
        let text = self.untold(tokenizer)?;
        if text.is_empty() || text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        self.begin = self.told;
        self.told = self.tokens.len();
        Ok(text)
    }

    /// What was held back and cannot be completed any more.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        let text = self.untold(tokenizer)?;
        self.told = self.tokens.len();
        Ok(text)
    }

    fn untold(&self, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        let before = tokenizer.decode(&self.tokens[self.begin..self.told])?;
        let all = tokenizer.decode(&self.tokens[self.begin..])?;
        Ok(all.get(before.len()..).unwrap_or_default().to_owned())
    }
}

/// Texts at which an answer stops.
pub(crate) struct Stops {
    texts: Vec<String>,
    /// The end of the text so far, with which a stop may begin.
    held: String,
}

impl Stops {
    pub(crate) fn new(texts: Vec<String>) -> Self {
        Self { texts, held: String::new() }
    }

    /// The text that surely comes before any stop, and whether a stop has come.
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let first = self.texts.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(first) = first {
            self.held.truncate(first);
            return (std::mem::take(&mut self.held), true);
        }
        let kept = longest_begin(&self.held, self.texts.iter().map(String::as_str));
        let rest = self.held.split_off(self.held.len() - kept);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, since no stop has come.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` with which one of `words` begins.
pub(crate) fn longest_begin<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> usize {
    let begin = |word: &str| {
        let ends = word.char_indices().map(|(end, _)| end).rev();
        ends.into_iter().find(|end| text.ends_with(&word[..*end])).unwrap_or(0)
    };
    words.map(begin).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_found_wherever_the_pieces_are_cut() {
        let text = "one two END three";
        for cut in 0..text.len() {
            let mut stops = Stops::new(vec!["END".to_owned(), "ENDING".to_owned()]);
            let (first, has_stopped) = stops.push(&text[..cut]);
            let rest = if has_stopped { String::new() } else { stops.push(&text[cut..]).0 };
            assert_eq!(first + &rest, "one two ", "{cut}");
        }
    }

    #[test]
    fn what_only_begins_like_a_stop_is_given_out_in_the_end() {
        let mut stops = Stops::new(vec!["aab".to_owned()]);
        assert_eq!(stops.push("aaa"), ("a".to_owned(), false));
        assert_eq!(stops.push("c"), ("aac".to_owned(), false));
        assert_eq!(stops.push("a"), (String::new(), false));
        assert_eq!(stops.finish(), "a");
    }

    #[test]
    fn the_earliest_of_several_stops_counts() {
        let mut stops = Stops::new(vec!["b".to_owned(), "ä".to_owned()]);
        assert_eq!(stops.push("xäb"), ("x".to_owned(), true));
    }
}
