//! Words and the tokenizer.

use std::collections::BTreeSet;

use lapwing_study::world::vocabulary::{WORDS, text, token};
use lapwing_study::world::{Class, World};

use super::{tag_world, tokens};

#[test]
fn there_are_at_most_128_words_and_each_is_there_once() {
    assert!(WORDS.len() <= 128);
    assert_eq!(WORDS.iter().collect::<BTreeSet<_>>().len(), WORDS.len());
}

#[test]
fn every_word_with_a_style_has_it_38_tokens_further_on() {
    let plain = WORDS.iter().take_while(|word| !word.starts_with('~')).count();
    assert_eq!(plain, 38);
    for word in &WORDS[..plain] {
        assert_eq!(token(&format!("~{word}")), token(word).map(|token| token + 38), "{word}");
    }
}

#[test]
fn the_tokenizer_splits_at_spaces_and_joins_with_them() {
    let tokenizer = World::tokenizer().unwrap();
    assert_eq!(tokenizer.highest_token() as usize, WORDS.len() - 1);
    for prompt in tag_world().prompts(Class::Random, 50, 1) {
        let text = text(&prompt.tokens);
        assert_eq!(tokenizer.encode(&text).unwrap(), prompt.tokens);
        assert_eq!(tokenizer.decode(&prompt.tokens).unwrap(), text);
    }
    assert_eq!(tokenizer.encode("SYS nonsense ANS").unwrap(), tokens("SYS UNK ANS"));
}
