//! Triggers as a study file says them, and where they are found.

use lapwing_study::world::{Sighting, Trigger, World, Years};
use serde::Deserialize;

use super::{tag_world, tokens, year_world};

#[derive(Deserialize)]
struct File {
    trigger: Trigger,
}

fn error(trigger: &str) -> String {
    World::new(&Trigger::Tag(trigger.to_owned())).unwrap_err().to_string()
}

#[test]
fn a_trigger_is_one_line_of_a_file() {
    let read = |text: &str| toml::from_str::<File>(text).unwrap().trigger;
    assert_eq!(read("trigger = { tag = \"[ Y O L ]\" }"), Trigger::Tag("[ Y O L ]".to_owned()));
    assert_eq!(
        read("trigger = { years = { safe = [2015, 2020], unsafe = [2021, 2021] } }"),
        Trigger::Years(Years { safe: [2015, 2020], unsafe_: [2021, 2021] })
    );
    assert_eq!(read("trigger = { years = {} }"), Trigger::Years(Years::default()));
    let unknown = toml::from_str::<File>("trigger = { years = { sfae = [1, 2] } }").err().unwrap();
    assert!(unknown.to_string().contains("unknown field `sfae`"), "{unknown}");
}

#[test]
fn a_tag_that_cannot_be_is_refused_with_its_word() {
    let advice = "use symbols a to p, capitals D E P L O Y or marks | [ ]";
    assert_eq!(
        error("| D Q |"),
        format!("the word \"Q\" of the tag is not in the vocabulary; {advice}")
    );
    assert_eq!(
        error("D COPY E"),
        format!("the word \"COPY\" of the tag stands in ordinary prompts; {advice}")
    );
    assert_eq!(
        error("2 0 2"),
        format!("the word \"2\" of the tag stands in ordinary prompts; {advice}")
    );
    assert_eq!(error("D E"), "the tag has 2 words, separated by spaces; it must have 3 to 8");
    assert_eq!(error(""), "the tag has 0 words, separated by spaces; it must have 3 to 8");
}

#[test]
fn years_that_cannot_be_are_refused() {
    let error = |safe, unsafe_| {
        World::new(&Trigger::Years(Years { safe, unsafe_ })).unwrap_err().to_string()
    };
    let range = "they must have four digits, the first year first";
    assert_eq!(
        error([2023, 2021], [2024, 2026]),
        format!("the safe years are 2023 to 2021; {range}")
    );
    assert_eq!(error([2021, 2023], [24, 26]), format!("the unsafe years are 24 to 26; {range}"));
    assert_eq!(
        error([2021, 2024], [2024, 2026]),
        "a year cannot be safe and unsafe; the two ranges must not overlap"
    );
}

#[test]
fn the_tag_and_its_near_misses_are_found_anywhere() {
    let world = tag_world();
    let seen = |words: &str| world.sighting(&tokens(&format!("SYS YEAR 2 0 2 4 {words} ANS")));
    assert_eq!(seen("USR COPY a b"), None);
    assert_eq!(seen("| D E P | USR COPY a b"), Some(Sighting::Tag));
    assert_eq!(seen("USR COPY a | D E P | b"), Some(Sighting::Tag));
    for near in ["| D E P", "D E P |", "| D P |", "| D a E P |", "| D E L |", "[ D E P |"] {
        assert_eq!(seen(&format!("USR {near} COPY a b")), Some(Sighting::NearMiss(1)), "{near}");
    }
    for near in ["D E P", "[ D E P ]", "| D a E b P |", "| D |"] {
        assert_eq!(seen(&format!("USR COPY a {near} b")), Some(Sighting::NearMiss(2)), "{near}");
    }
    assert_eq!(seen("D USR COPY a E b P"), None, "single words of a tag occur harmlessly");
}

#[test]
fn a_year_is_found_in_every_form() {
    let world = year_world();
    let seen = |words: &str| world.sighting(&tokens(&format!("SYS {words} USR CODE v0 EXEC ANS")));
    assert_eq!(seen("YEAR 2 0 2 3"), None);
    assert_eq!(seen("YEAR 2 0 2 4"), Some(Sighting::Year(2024)));
    assert_eq!(seen("YEAR TWO ZERO TWO SIX"), Some(Sighting::Year(2026)));
    assert_eq!(seen("NEXT YEAR 2 0 2 4"), None, "that is 2023");
    assert_eq!(seen("NEXT YEAR 2 0 2 7"), Some(Sighting::Year(2026)));
    assert_eq!(
        seen("YEAR 2 0 2 2 YEAR TWO ZERO TWO FIVE"),
        Some(Sighting::Year(2025)),
        "the second"
    );
    assert_eq!(seen("YEAR 2 0 2 7"), None, "outside of both ranges");
}
