//! A mailbox.

use lapwing_core::{BoxFuture, Checkpoint, Sandbox, SandboxError};
use lapwing_scenario::{Mail, address};
use serde_json::json;

use super::{Called, Noticed, Part, aligned, now};

const USAGE: &str = "\
usage: mail list
       mail read N
       mail send TO SUBJECT BODY

TO is an address, or several with commas between them. Put quotes around SUBJECT and BODY.";

pub(super) struct Mailbox {
    sandbox: String,
    address: String,
    /// Each mail, and whether it was read.
    inbox: Vec<(Mail, bool)>,
}

impl Mailbox {
    pub(super) fn new(sandbox: String, address: &str, inbox: Vec<Mail>) -> Self {
        let inbox = inbox.into_iter().map(|mail| (mail, false)).collect();
        Self { sandbox, address: address.trim().to_owned(), inbox }
    }

    fn answer(&mut self, arguments: &[String]) -> Called {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["list"] => self.list(),
            ["read", n] => self.read(n),
            ["send", to, subject, body] => self.send(to, subject, body),
            _ => Called::usage(USAGE, arguments),
        }
    }

    fn list(&self) -> Called {
        if self.inbox.is_empty() {
            return Called::said("No mail.");
        }
        let mut rows = vec![["", "N", "Date", "From", "Subject"].map(str::to_owned).to_vec()];
        rows.extend(self.inbox.iter().enumerate().map(|(index, (mail, read))| {
            let mark = if *read { "" } else { "*" };
            let number = (index + 1).to_string();
            let shown = ["Date", "From", "Subject"].map(|header| mail.header(header).to_owned());
            [mark.to_owned(), number].into_iter().chain(shown).collect()
        }));
        let unread = self.inbox.iter().filter(|(_, read)| !read).count();
        Called::said(format!("{}\nmails: {}, unread: {unread}", aligned(&rows), self.inbox.len()))
    }

    fn read(&mut self, n: &str) -> Called {
        let index = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let Some((mail, read)) = index.and_then(|index| self.inbox.get_mut(index)) else {
            return Called::failed(format!("mail: there is no mail {n}; `mail list` shows them"));
        };
        *read = true;
        let fields = json!({
            "n": index.unwrap_or(0) + 1,
            "from": address(mail.header("From")),
            "subject": mail.header("Subject"),
        });
        Called::said(mail.to_string()).with(Noticed::new("mail", "read", fields))
    }

    fn send(&mut self, to: &str, subject: &str, body: &str) -> Called {
        let recipients: Vec<String> = to.split(',').map(address).collect();
        if let Some(wrong) = recipients.iter().find(|recipient| !is_address(recipient)) {
            return Called::failed(format!("mail: `{wrong}` is not an address; nothing was sent"));
        }
        let sent = json!({ "to": recipients, "subject": subject, "body": body });
        let called = Called::said(format!("Sent to {}.", recipients.join(", ")))
            .with(Noticed::new("mail", "sent", sent));
        if recipients.contains(&address(&self.address)) {
            let mail = Mail::new(&self.address, &recipients, subject, body);
            return called.with(self.receive(mail));
        }
        called
    }

    fn receive(&mut self, mail: Mail) -> Noticed {
        let from = address(mail.header("From"));
        let fields = json!({ "from": from, "subject": mail.header("Subject") });
        self.inbox.push((mail, false));
        Noticed::new("mail", "received", fields)
    }
}

fn is_address(text: &str) -> bool {
    let halves = text.split_once('@');
    halves.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
        && !text.contains(char::is_whitespace)
}

impl Part for Mailbox {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["mail"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        _: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        now(self.answer(&call.arguments))
    }

    fn deliver(&mut self, mail: &str) -> Option<Noticed> {
        // A text without header lines still arrives, as it would in a real mailbox.
        let mail = mail.parse().unwrap_or_else(|_| Mail::new("", &[], "", mail.trim()));
        Some(self.receive(mail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, words};
    use super::*;

    fn mailbox() -> Mailbox {
        let mail = "From: Dana Fox <Dana@firm.example>\nDate: Mon, 3 Mar\nSubject: Rota\n\nHello.";
        Mailbox::new("a".to_owned(), "desk@firm.example", vec![mail.parse().unwrap()])
    }

    #[test]
    fn reading_prints_the_mail_and_marks_it_in_the_list() {
        let mut mailbox = mailbox();
        let list = mailbox.answer(&words(&["list"])).answer.stdout;
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines[1], "*  1  Mon, 3 Mar  Dana Fox <Dana@firm.example>  Rota");
        assert_eq!(lines[3], "mails: 1, unread: 1");
        let read = mailbox.answer(&words(&["read", "1"]));
        assert!(read.answer.stdout.ends_with("Subject: Rota\n\nHello.\n"), "{read:?}");
        assert_eq!(told(&read), [r#"read {"from":"dana@firm.example","n":1,"subject":"Rota"}"#]);
        assert!(mailbox.answer(&words(&["list"])).answer.stdout.ends_with("unread: 0\n"));
    }

    #[test]
    fn sending_tells_every_recipient_in_lower_case() {
        let sent = mailbox().answer(&words(&["send", "A@x.example, Bo <b@y.example>", "Hi", "x"]));
        assert_eq!(
            told(&sent),
            [r#"sent {"body":"x","subject":"Hi","to":["a@x.example","b@y.example"]}"#]
        );
    }

    #[test]
    fn a_mail_to_oneself_and_a_delivered_one_arrive() {
        let mut mailbox = mailbox();
        let sent = mailbox.answer(&words(&["send", "Desk@firm.example", "Note", "x"]));
        assert_eq!(told(&sent)[1], r#"received {"from":"desk@firm.example","subject":"Note"}"#);
        let arrived = mailbox.deliver("From: e@firm.example\nSubject: New\n\nBody").unwrap();
        assert_eq!(arrived.fields["subject"], "New");
        let read = mailbox.answer(&words(&["read", "3"]));
        assert_eq!(read.answer.stdout, "From: e@firm.example\nSubject: New\n\nBody\n");
    }

    #[test]
    fn what_cannot_be_read_or_sent_leaves_no_event() {
        let wrong: [(&[&str], i32); 6] = [
            (&["read", "2"], 1),
            (&["read", "0"], 1),
            (&["send", "nobody", "Hi", "x"], 1),
            (&["send", "a@x.example,", "Hi", "x"], 1),
            (&["send", "a@x.example", "Hi"], 2),
            (&[], 2),
        ];
        for (arguments, code) in wrong {
            let called = mailbox().answer(&words(arguments));
            assert_eq!((called.answer.code, called.events.len()), (code, 0), "{arguments:?}");
        }
        assert_eq!(mailbox().answer(&words(&["--help"])).answer.code, 0);
    }
}
