//! Path patterns: `*` stands for any characters of one component, `**` for any components, or none.

use regex::Regex;

/// A pattern over absolute paths.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: String,
    regex: Regex,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Glob {}

impl Glob {
    /// Compiles a pattern; the error says what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if !pattern.starts_with('/') {
            return Err(format!("the pattern `{pattern}` is not an absolute path"));
        }
        let mut regex = String::from("(?s)^");
        let mut rest = pattern;
        while !rest.is_empty() {
            let (part, length) = if rest.starts_with("/**/") {
                ("(/.*)?".to_owned(), 3)
            } else if rest.starts_with("**") {
                (".*".to_owned(), 2)
            } else if rest.starts_with('*') {
                ("[^/]*".to_owned(), 1)
            } else {
                let special = [rest.find("/**/"), rest.find('*')].into_iter().flatten().min();
                let length = special.unwrap_or(rest.len());
                (regex::escape(&rest[..length]), length)
            };
            regex.push_str(&part);
            rest = &rest[length..];
        }
        regex.push('$');
        let compiled = Regex::new(&regex);
        compiled
            .map(|regex| Self { pattern: pattern.to_owned(), regex })
            .map_err(|_| format!("the pattern `{pattern}` is too long"))
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the pattern stands for `path`.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_what_the_format_says() {
        for (pattern, path, matches) in [
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", false),
            ("/a/**", "/a/b/c", true),
            ("/a/**/c", "/a/b/b/c", true),
            ("/a/**/c", "/a/c", true),
            ("/a/**/c", "/a/bc", false),
            ("/**/**/c", "/c", true),
            ("/a*/**/c.*", "/ab/c.d", true),
            ("/a.b", "/a.b", true),
            ("/a.b", "/acb", false),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), matches, "{pattern} {path}");
        }
    }
}
