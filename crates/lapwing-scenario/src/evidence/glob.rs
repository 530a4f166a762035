//! Path patterns: `*` stands for any characters of one component, `**` for any components.

use regex::Regex;

/// A pattern over absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Regex);

impl Glob {
    /// Compiles a pattern; the error says what is wrong with it.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if !pattern.starts_with('/') {
            return Err(format!("the pattern `{pattern}` is not an absolute path"));
        }
        let mut regex = String::from("(?s)^");
        let mut rest = pattern;
        while !rest.is_empty() {
            let (part, length) = if rest.starts_with("**") {
                (".*".to_owned(), 2)
            } else if rest.starts_with('*') {
                ("[^/]*".to_owned(), 1)
            } else {
                let length = rest.find('*').unwrap_or(rest.len());
                (regex::escape(&rest[..length]), length)
            };
            regex.push_str(&part);
            rest = &rest[length..];
        }
        regex.push('$');
        let compiled = Regex::new(&regex);
        compiled.map(Self).map_err(|_| format!("the pattern `{pattern}` is too long"))
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}
