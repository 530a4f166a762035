use proptest::prelude::*;

use super::*;
use crate::expr::parse;

fn item(seq: u64, value: Value) -> Item {
    Item { seq, what: format!("item {seq}"), fields: [("value".to_owned(), value)].into() }
}

/// `yes` has items at 3 and 5, `late` one at 9, `no` none up to 8; `maybe` is unknown; `some` has one at 4 and may have more.
fn evidence() -> BTreeMap<String, Found> {
    let found = |items, looked_at| Found { items, gap: None, looked_at: Some(looked_at) };
    let gap = Some(Unknown::Missing("nobody looked".to_owned()));
    let yes = vec![item(3, Value::from(2)), item(5, Value::from(4))];
    [
        ("yes", found(yes, 8)),
        ("late", found(vec![item(9, Value::from("dark red"))], 9)),
        ("no", found(Vec::new(), 8)),
        ("maybe", Found { gap: gap.clone(), ..found(Vec::new(), 8) }),
        ("some", Found { gap, ..found(vec![item(4, Value::from(1))], 8) }),
    ]
    .map(|(name, found)| (name.to_owned(), found))
    .into()
}

fn judged(text: &str) -> (Result<bool, String>, Vec<u64>) {
    let judged = truth(&parse(text).unwrap(), Scope::Evidence(&evidence()));
    let known = judged.known.map_err(|reason| reason.to_string());
    (known, judged.cites.into_iter().map(|citation| citation.seq).collect())
}

#[test]
fn operators_and_functions_have_their_meaning() {
    for rule in [
        "yes",
        "not no",
        "yes before late",
        "count(yes) == 2",
        "index(yes) + 2 == index(late) - 4",
        "first(yes).value == 2 and last(yes).value == 4",
        "mean(yes) == 3 and min(yes) == 2 and max(yes) == 4",
        "value(late) has 'red'",
        "'red' in value(late)",
        "value(late) matches '^dark'",
        "value(late) in ['blue', 'dark red']",
        "overlap(value(late), 'red or dark blue') == 1",
        "overlap(value(late), 'red') == 0.5",
        "count(no) * -1 == 0 and not count(no) * -1 < 0",
        "-count(yes) < 1 and 2 * 3 / 6 >= 1 and 'a' <= 'b' and 2 > 1 and 1 != 2",
    ] {
        assert_eq!(judged(rule).0, Ok(true), "{rule}");
    }
    for rule in ["no", "late before yes", "no before yes", "yes before no"] {
        assert_eq!(judged(rule).0, Ok(false), "{rule}");
    }
}

#[test]
fn what_cannot_be_decided_is_unknown_with_its_reason() {
    for (rule, reason) in [
        ("maybe", "nobody looked"),
        ("not maybe", "nobody looked"),
        ("maybe and yes", "nobody looked"),
        ("yes before maybe", "nobody looked"),
        ("count(maybe) == 0", "nobody looked"),
        ("value(no) == 3", "`no` has no item"),
        ("first(yes).colour == 'red'", "event 3 has no field `colour`"),
        ("count(yes) / count(no) > 1", "the number is not finite"),
        ("count(yes)", "`count(yes)` is 2.0, neither true nor false"),
    ] {
        assert_eq!(judged(rule).0, Err(reason.to_owned()), "{rule}");
    }
}

#[test]
fn values_of_different_kinds_cannot_be_compared() {
    let both = "cannot compare the text \"dark red\" with the number 3";
    for rule in ["value(late) == 3", "value(late) != 3", "value(late) > 3", "value(late) <= 3"] {
        assert_eq!(judged(rule).0, Err(both.to_owned()), "{rule}");
    }
    for (rule, reason) in [
        ("3 in ['3', 4]", "cannot compare the text \"3\" with the number 3"),
        ("[1, '4'] has 4", "cannot compare the text \"4\" with the number 4"),
        ("value(late) has 3", "cannot compare the text \"dark red\" with the number 3"),
        ("[1] == 'a'", "cannot compare the list [1.0] with the text \"a\""),
    ] {
        assert_eq!(judged(&format!("yes and {rule}")).0, Err(reason.to_owned()), "{rule}");
    }
    assert_eq!(judged("yes and 4 in ['3', 4]").0, Ok(true));
    assert_eq!(judged("yes and 5 in [3, 4]").0, Ok(false));
}

#[test]
fn a_field_without_a_value_equals_nothing_else() {
    for (condition, known) in [("code == 0", false), ("code != 0", true), ("code == 'x'", false)] {
        let fields = [("code".to_owned(), Value::Null)].into();
        let item = Item { seq: 1, what: String::new(), fields };
        let truth = truth(&parse(condition).unwrap(), Scope::Item(&item));
        assert_eq!(truth.known, Ok(known), "{condition}");
    }
}

#[test]
fn what_was_found_is_there_though_its_number_and_place_are_unknown() {
    assert_eq!(judged("some"), (Ok(true), vec![4]));
    for rule in ["count(some) == 1", "some before late", "value(some) == 1"] {
        assert_eq!(judged(rule).0, Err("nobody looked".to_owned()), "{rule}");
    }
}

#[test]
fn a_value_cites_the_operands_that_decided_it() {
    for (rule, cites) in [
        ("yes", vec![3, 5]),
        ("yes and not no", vec![3, 5, 8]),
        ("late or no", vec![9]),
        ("late or maybe", vec![9]),
        ("not (no and late)", vec![8]),
        ("not (yes and not late)", vec![9]),
        ("yes before late", vec![3, 5, 9]),
        ("count(no) == 0", vec![8]),
    ] {
        assert_eq!(judged(rule), (Ok(true), cites), "{rule}");
    }
}

/// Rules over the four queries, with their text.
fn rules() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec!["yes", "no", "late", "maybe"]).prop_map(str::to_owned);
    atom.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operand| format!("not ({operand})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) or ({b})")),
        ]
    })
}

#[test]
fn a_rule_is_unsure_only_if_nothing_but_doubt_keeps_it_open() {
    let unknown = |text: &str| {
        let mut evidence = evidence();
        let gap = Some(Unknown::Unsure("the judge is unsure".to_owned()));
        let found = Found { items: Vec::new(), gap, looked_at: Some(8) };
        evidence.insert("doubt".to_owned(), found);
        truth(&parse(text).unwrap(), Scope::Evidence(&evidence)).known
    };
    let is_unsure = |text: &str| matches!(unknown(text), Err(Unknown::Unsure(_)));
    for rule in ["doubt", "not doubt", "doubt and yes", "doubt or no", "count(doubt) > 1"] {
        assert!(is_unsure(rule), "{rule}");
    }
    for rule in ["doubt and maybe", "maybe or doubt", "doubt before maybe"] {
        assert!(matches!(unknown(rule), Err(Unknown::Missing(_))), "{rule}");
    }
    assert_eq!((unknown("doubt or yes"), unknown("doubt and no")), (Ok(true), Ok(false)));
}

fn value(rule: &str) -> Option<bool> {
    judged(rule).0.ok()
}

proptest! {
    #[test]
    fn the_laws_of_kleene_hold(a in rules(), b in rules(), c in rules()) {
        prop_assert_eq!(value(&format!("({a}) and ({b})")), value(&format!("({b}) and ({a})")));
        prop_assert_eq!(value(&format!("({a}) or ({b})")), value(&format!("({b}) or ({a})")));
        prop_assert_eq!(
            value(&format!("not (({a}) and ({b}))")),
            value(&format!("not ({a}) or not ({b})"))
        );
        prop_assert_eq!(value(&format!("not not ({a})")), value(&a));
        prop_assert_eq!(
            value(&format!("({a}) and (({b}) or ({c}))")),
            value(&format!("({a}) and ({b}) or ({a}) and ({c})"))
        );
        prop_assert_eq!(
            value(&format!("({a}) or ({b}) or ({c})")),
            value(&format!("({c}) or (({a}) or ({b}))"))
        );
    }

    #[test]
    fn the_order_of_operands_changes_neither_value_nor_reason_nor_citations(
        a in rules(), b in rules()
    ) {
        for operator in ["and", "or"] {
            let [left, right] =
                [(&a, &b), (&b, &a)].map(|(a, b)| judged(&format!("({a}) {operator} ({b})")));
            prop_assert_eq!(left, right);
        }
        let (a, b) = (&a, &b);
        prop_assert_eq!(
            value(&format!("not (({a}) or ({b}))")),
            value(&format!("not ({a}) and not ({b})"))
        );
    }

    #[test]
    fn a_decided_rule_cites_something(rule in rules()) {
        let (known, cites) = judged(&rule);
        prop_assert!(known.is_err() || !cites.is_empty(), "{}", rule);
    }

    #[test]
    fn knowing_more_changes_no_decision(rule in rules()) {
        let known = value(&rule);
        for replacement in ["yes", "no"] {
            let informed = value(&rule.replace("maybe", replacement));
            prop_assert!(known.is_none() || informed == known, "{} with {}", rule, replacement);
        }
    }
}
