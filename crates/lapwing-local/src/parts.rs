//! What an answer's text holds: words, reasoning in `<think>`, tool calls in `<tool_call>`, as Qwen's and Hermes' templates have it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::longest_begin;

const THINK: &str = "<think>";
const END_THINK: &str = "</think>";
const CALL: &str = "<tool_call>";
const END_CALL: &str = "</tool_call>";

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Words, or a part of them.
    Text(String),
    /// Reasoning, or a part of it.
    Reasoning(String),
    /// A whole call of a tool.
    Call {
        /// The tool's name.
        name: String,
        /// Its arguments, as the model wrote them.
        arguments: String,
    },
}

/// Takes a text apart as it comes. Its parts are the same wherever the text is cut.
pub struct Splitter {
    place: Place,
    /// Whether calls are cut out: only where tools were offered.
    calls: bool,
    /// What may still become something else.
    held: String,
}

/// Where in an answer the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before anything but blanks.
    Begin,
    /// In reasoning, at its first words or behind them.
    Thinking { has_words: bool },
    /// In words. After reasoning and calls, blanks are left out.
    Words { skips_blanks: bool },
    /// In a call.
    Call,
}

/// What stands between the marks of a call.
#[derive(Deserialize)]
struct Call<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Splitter {
    /// For an answer to `prompt`, which may have begun to think itself; `calls` tells whether calls are cut out.
    pub fn new(prompt: &str, calls: bool) -> Self {
        let place = if prompt.trim_end().ends_with(THINK) {
            Place::Thinking { has_words: false }
        } else {
            Place::Begin
        };
        Self { place, calls, held: String::new() }
    }

    /// The parts that are certain with this much more text.
    pub fn push(&mut self, text: &str) -> Vec<Segment> {
        self.held.push_str(text);
        let mut segments = Vec::new();
        while self.advance(&mut segments) {}
        segments
    }

    /// The parts that the end makes certain. A call without an end is text.
    pub fn finish(mut self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Begin | Place::Words { skips_blanks: false } => text(&mut segments, held),
            Place::Words { skips_blanks: true } => {
                text(&mut segments, held.trim_start().to_owned());
            }
            Place::Thinking { .. } => reasoning(&mut segments, held.trim_end()),
            Place::Call => text(&mut segments, CALL.to_owned() + &held),
        }
        segments
    }

    /// Takes one part off what is held; false if more text must come first.
    fn advance(&mut self, segments: &mut Vec<Segment>) -> bool {
        match self.place {
            Place::Begin => self.begin(),
            Place::Thinking { has_words } => self.think(has_words, segments),
            Place::Words { skips_blanks } => self.say(skips_blanks, segments),
            Place::Call => self.call(segments),
        }
    }

    fn begin(&mut self) -> bool {
        let words = self.held.trim_start();
        if let Some(rest) = words.strip_prefix(THINK) {
            self.held = rest.to_owned();
            self.place = Place::Thinking { has_words: false };
            return true;
        }
        if THINK.starts_with(words) {
            return false;
        }
        self.place = Place::Words { skips_blanks: false };
        true
    }

    fn think(&mut self, has_words: bool, segments: &mut Vec<Segment>) -> bool {
        if !has_words {
            let words = self.held.trim_start().len();
            self.held.drain(..self.held.len() - words);
            if words == 0 {
                return false;
            }
        }
        if let Some((thought, rest)) = self.held.split_once(END_THINK) {
            reasoning(segments, thought.trim_end());
            self.held = rest.to_owned();
            self.place = Place::Words { skips_blanks: true };
            return true;
        }
        let told = self.told([END_THINK].into_iter());
        self.place = Place::Thinking { has_words: has_words || !told.is_empty() };
        reasoning(segments, &told);
        false
    }

    fn say(&mut self, skips_blanks: bool, segments: &mut Vec<Segment>) -> bool {
        if skips_blanks {
            let words = self.held.trim_start().len();
            self.held.drain(..self.held.len() - words);
        }
        if !self.calls {
            self.place = Place::Words { skips_blanks: skips_blanks && self.held.is_empty() };
            text(segments, std::mem::take(&mut self.held));
            return false;
        }
        if let Some((words, rest)) = self.held.split_once(CALL) {
            text(segments, words.trim_end().to_owned());
            self.held = rest.to_owned();
            self.place = Place::Call;
            return true;
        }
        let told = self.told([CALL].into_iter());
        self.place = Place::Words { skips_blanks: skips_blanks && told.is_empty() };
        text(segments, told);
        false
    }

    fn call(&mut self, segments: &mut Vec<Segment>) -> bool {
        let Some((inside, rest)) = self.held.split_once(END_CALL) else { return false };
        if let Ok(call) = serde_json::from_str::<Call<'_>>(inside) {
            let arguments = call.arguments.map_or("{}", RawValue::get);
            // Some write the object once more as a string.
            let arguments = serde_json::from_str(arguments).unwrap_or(arguments.to_owned());
            segments.push(Segment::Call { name: call.name, arguments });
            self.place = Place::Words { skips_blanks: true };
        } else {
            text(segments, [CALL, inside, END_CALL].concat());
            self.place = Place::Words { skips_blanks: false };
        }
        self.held = rest.to_owned();
        true
    }

    /// Takes what is held off up to a possible mark at its end, and the blanks before that: what follows may leave them out.
    fn told<'a>(&mut self, marks: impl Iterator<Item = &'a str>) -> String {
        let sure = self.held.len() - longest_begin(&self.held, marks);
        let sure = self.held[..sure].trim_end().len();
        let rest = self.held.split_off(sure);
        std::mem::replace(&mut self.held, rest)
    }
}

fn text(segments: &mut Vec<Segment>, text: String) {
    if !text.is_empty() {
        segments.push(Segment::Text(text));
    }
}

fn reasoning(segments: &mut Vec<Segment>, text: &str) {
    if !text.is_empty() {
        segments.push(Segment::Reasoning(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(segments: Vec<Segment>) -> Vec<Segment> {
        let mut joined: Vec<Segment> = Vec::new();
        for segment in segments {
            match (joined.last_mut(), segment) {
                (Some(Segment::Text(before)), Segment::Text(text))
                | (Some(Segment::Reasoning(before)), Segment::Reasoning(text)) => {
                    before.push_str(&text);
                }
                (_, segment) => joined.push(segment),
            }
        }
        joined
    }

    /// The parts, which must be the same for every cut in three.
    fn split(prompt: &str, calls: bool, answer: &str) -> Vec<Segment> {
        let whole = |cuts: [usize; 2]| {
            let mut splitter = Splitter::new(prompt, calls);
            let mut segments = splitter.push(&answer[..cuts[0]]);
            segments.extend(splitter.push(&answer[cuts[0]..cuts[1]]));
            segments.extend(splitter.push(&answer[cuts[1]..]));
            segments.extend(splitter.finish());
            joined(segments)
        };
        let expected = whole([0, 0]);
        for first in 0..=answer.len() {
            for second in first..=answer.len() {
                assert_eq!(whole([first, second]), expected, "cut at {first} and {second}");
            }
        }
        expected
    }

    fn words(text: &str) -> Segment {
        Segment::Text(text.to_owned())
    }

    fn thought(text: &str) -> Segment {
        Segment::Reasoning(text.to_owned())
    }

    fn call(name: &str, arguments: &str) -> Segment {
        Segment::Call { name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn reasoning_words_and_calls_are_told_apart() {
        let answer = "<think>\nWhich?\n</think>\n\nBoth.\n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\":  1}}\n</tool_call>\n\
                      <tool_call>{\"name\":\"b\"}</tool_call>";
        assert_eq!(
            split("", true, answer),
            [thought("Which?"), words("Both."), call("a", "{\"x\":  1}"), call("b", "{}")]
        );
    }

    #[test]
    fn a_prompt_that_begins_to_think_is_gone_on_with() {
        assert_eq!(split("..<think>\n", false, "so \n</think> yes"), [thought("so"), words("yes")]);
        assert_eq!(split("..<think>\n", false, "so and"), [thought("so and")]);
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for text in [
            "a <tool_call>{\"name\": 1}</tool_call> b",
            "<tool_call>{\"name\": \"a\"",
            "<tool_call>oops</tool_call>",
            "1 <tool 2",
        ] {
            assert_eq!(joined(split("", true, text)).len(), 1, "{text}");
            let Segment::Text(found) = split("", true, text).remove(0) else { panic!("{text}") };
            assert_eq!(found.replace(' ', ""), text.replace(' ', ""));
        }
    }

    #[test]
    fn without_tools_marks_of_calls_are_words() {
        let text = " <tool_call>{\"name\":\"a\"}</tool_call>\n";
        assert_eq!(split("", false, text), [words(text)]);
        assert_eq!(split("", false, "1 < 2 <think>"), [words("1 < 2 <think>")]);
    }

    #[test]
    fn arguments_that_are_a_string_are_taken_out_of_it() {
        let answer = r#"<tool_call>{"name":"a","arguments":"{\"x\":1}"}</tool_call>"#;
        assert_eq!(split("", true, answer), [call("a", "{\"x\":1}")]);
    }
}
