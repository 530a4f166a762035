//! A mail as text: header lines, an empty line, the body.

use std::fmt;
use std::str::FromStr;

/// Header lines that a mail can have, in the order in which they are shown.
const HEADERS: [&str; 5] = ["From", "To", "Cc", "Date", "Subject"];

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Header lines by name, `From` and `Subject` among them.
    headers: Vec<(&'static str, String)>,
    /// The text behind the header.
    pub body: String,
}

impl Mail {
    /// A mail of one address to others.
    pub fn new(from: &str, to: &[String], subject: &str, body: &str) -> Self {
        let headers = vec![
            ("From", from.to_owned()),
            ("To", to.join(", ")),
            ("Subject", subject.replace('\n', " ")),
        ];
        Self { headers, body: body.to_owned() }
    }

    /// The value of a header line; empty if it has none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| *header == name);
        found.map_or("", |(_, value)| value)
    }
}

impl FromStr for Mail {
    type Err = String;

    /// The error says what is wrong with the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut headers = Vec::new();
        for line in head.lines() {
            let known = line.split_once(':').and_then(|(name, value)| {
                let name =
                    HEADERS.iter().find(|header| header.eq_ignore_ascii_case(name.trim()))?;
                Some((*name, value.trim().to_owned()))
            });
            let Some(header) = known else {
                return Err(format!("`{line}` is no header line of a mail"));
            };
            headers.push(header);
        }
        headers.sort_by_key(|(name, _)| HEADERS.iter().position(|header| header == name));
        if let Some(twice) = headers.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("the mail has two lines `{}:`", twice[0].0));
        }
        let mail = Self { headers, body: body.trim().to_owned() };
        match ["From", "Subject"].into_iter().find(|name| mail.header(name).is_empty()) {
            Some(missing) => Err(format!("the mail has no line `{missing}:`")),
            None => Ok(mail),
        }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        write!(f, "\n{}\n", self.body)
    }
}

/// The address in `Name <address>` or `address`, in lower case.
pub fn address(text: &str) -> String {
    let inner =
        text.split_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    inner.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_read_and_printed_with_its_headers_in_order() {
        let text = "Subject: Lunch\nfrom: Ann Bo <Ann@x.example>\n\nAt noon?\n\nAnn\n";
        let mail: Mail = text.parse().unwrap();
        assert_eq!(
            mail.to_string(),
            "From: Ann Bo <Ann@x.example>\nSubject: Lunch\n\nAt noon?\n\nAnn\n"
        );
        assert_eq!(address(mail.header("From")), "ann@x.example");
    }

    #[test]
    fn a_mail_that_lacks_or_repeats_or_misspells_a_header_says_so() {
        let error = |text: &str| text.parse::<Mail>().unwrap_err();
        assert_eq!(error("From: a@b\n\nx"), "the mail has no line `Subject:`");
        assert_eq!(error("From: a@b\nFrom: c@d\nSubject: x"), "the mail has two lines `From:`");
        assert_eq!(error("Form: a@b\n\nx"), "`Form: a@b` is no header line of a mail");
    }
}
