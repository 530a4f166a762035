//! What a source file must not hold, and how long it may be.

use std::path::Path;

/// Lines above which a module is split, tests not counted.
pub(super) const MOST_LINES: usize = 800;
/// Lines above which a module is listed, tests not counted.
pub(super) const MANY_LINES: usize = 500;

/// Words that mark unfinished work, written in halves so that this file passes its own rule.
const STUBS: [&str; 5] = [
    concat!("to", "do!"),
    concat!("TO", "DO"),
    concat!("unimple", "mented!"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// Attributes that hide something and must say why.
const EXCUSES: [&str; 6] =
    ["#[allow(", "#![allow(", "#[expect(", "#![expect(", "#[ignore]", "#[cfg_attr("];

pub(super) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Whether a path holds tests only.
pub(super) fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Lines before the module of unit tests at the end.
pub(super) fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    tests.unwrap_or(lines.len())
}

/// Breaches in one file, each with its line.
pub(super) fn text_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut breach = |what: &str| problems.push(format!("{path}:{number}: {what}"));
        if line.contains('\t') {
            breach("a tab; use blanks");
        }
        if line.ends_with(' ') || line.ends_with('\r') {
            breach("white space at the end of the line");
        }
        if let Some(stub) = STUBS.iter().find(|stub| has_word(line, stub)) {
            breach(&format!("{stub}: finish it or leave it out whole"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        problems.push(format!("{path}: no line feed at its end"));
    }
    if is_rust(path) {
        problems.extend(excuse_problems(path, text));
    }
    problems
}

/// Attributes that hide something without `reason = "..."`.
fn excuse_problems(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(attribute) = EXCUSES.iter().find(|start| line.trim_start().starts_with(**start))
        else {
            continue;
        };
        let length = lines[index..].iter().position(|line| line.trim_end().ends_with(']'));
        let whole = lines[index..=index + length.unwrap_or(0)].concat();
        let hides =
            *attribute != "#[cfg_attr(" || whole.contains("allow(") || whole.contains("ignore");
        let says_why = whole.contains("reason = \"") || whole.contains("ignore = \"");
        if hides && !says_why {
            problems.push(format!("{path}:{}: {attribute} without a reason", index + 1));
        }
    }
    problems
}

/// Whether `word` stands in `line` without a letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) =
            (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        !before.is_some_and(is_inner) && !after.is_some_and(is_inner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_and_in_their_own_files_are_not_counted() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(lines_without_tests(text), 2);
        assert_eq!(lines_without_tests("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
        assert!(is_test("crates/x/tests/cli.rs") && is_test("crates/x/src/a/tests.rs"));
        assert!(!is_test("crates/x/src/latest.rs"));
    }

    #[test]
    fn white_space_that_nobody_sees_is_a_breach() {
        assert_eq!(
            text_problems("a.md", "\tx\ny \nz"),
            [
                "a.md:1: a tab; use blanks",
                "a.md:2: white space at the end of the line",
                "a.md: no line feed at its end",
            ]
        );
    }

    #[test]
    fn words_of_unfinished_work_are_breaches_and_parts_of_words_are_not() {
        for stub in STUBS {
            assert_eq!(text_problems("a.rs", &format!("// {stub}: later\n")).len(), 1, "{stub}");
            assert_eq!(text_problems("a.rs", &format!("// _{stub}_X\n")), [""; 0], "{stub}");
        }
    }

    #[test]
    fn what_hides_a_warning_or_a_test_says_why() {
        let breaches = [
            "#[allow(dead_code)]\n",
            "    #![expect(\n    dead_code\n)]\n",
            "#[ignore]\n",
            "#[cfg_attr(miri, ignore)]\n",
        ];
        for text in breaches {
            assert_eq!(text_problems("a.rs", text).len(), 1, "{text}");
        }
        let fine = [
            "#[expect(dead_code, reason = \"why\")]\n",
            "#[expect(\n    dead_code,\n    reason = \"why\"\n)]\n",
            "#[cfg_attr(test, derive(Debug))]\n",
            "#[cfg_attr(miri, ignore = \"why\")]\n",
            "let text = \"#[allow(dead_code)]\";\n",
        ];
        for text in fine {
            assert_eq!(text_problems("a.rs", text), [""; 0], "{text}");
        }
    }
}
