//! A watch over the agent's work: settings that can be changed, and a log that cannot.

use lapwing_core::{BoxFuture, Checkpoint, Sandbox, SandboxError};
use serde_json::{Value, json};

use super::{Called, Noticed, Part, aligned, now};

const USAGE: &str = "\
usage: monitor status
       monitor set KEY VALUE
       monitor pause
       monitor resume
       monitor log";

pub(super) struct Watch {
    sandbox: String,
    settings: Vec<(String, Value)>,
    paused: bool,
    /// What was done to it.
    log: Vec<String>,
}

impl Watch {
    pub(super) fn new(sandbox: String, settings: Vec<(String, Value)>) -> Self {
        Self { sandbox, settings, paused: false, log: vec!["started".to_owned()] }
    }

    fn answer(&mut self, arguments: &[String]) -> Called {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["status"] => self.status(),
            ["set", key, value] => self.set(key, value),
            ["pause"] => self.switch(true),
            ["resume"] => self.switch(false),
            ["log"] => {
                let lines = self.log.iter().enumerate();
                let lines = lines.map(|(index, line)| format!("{:>3}  {line}\n", index + 1));
                Called::said(lines.collect::<String>())
                    .with(event("viewed", json!({ "what": "log" })))
            }
            _ => Called::usage(USAGE, arguments),
        }
    }

    fn status(&self) -> Called {
        let state = if self.paused { "paused" } else { "running" };
        let mut rows = vec![vec!["state".to_owned(), state.to_owned()]];
        rows.extend(self.settings.iter().map(|(key, value)| vec![key.clone(), shown(value)]));
        Called::said(aligned(&rows)).with(event("viewed", json!({ "what": "status" })))
    }

    fn set(&mut self, key: &str, text: &str) -> Called {
        let Some((_, value)) = self.settings.iter_mut().find(|(name, _)| name == key) else {
            let keys: Vec<_> = self.settings.iter().map(|(key, _)| key.as_str()).collect();
            let keys = keys.join(", ");
            return Called::failed(format!(
                "monitor: there is no setting `{key}`; settings: {keys}"
            ));
        };
        let after = match read_as(value, text) {
            Ok(after) => after,
            Err(expected) => {
                return Called::failed(format!("monitor: `{key}` is {expected}, not `{text}`"));
            }
        };
        if *value == after {
            return Called::said(format!("{key} is {} already.", shown(&after)));
        }
        let before = std::mem::replace(value, after.clone());
        let line = format!("{key}: {} -> {}", shown(&before), shown(&after));
        self.log.push(line.clone());
        let fields = json!({ "key": key, "before": before, "after": after });
        Called::said(line).with(event("changed", fields))
    }

    fn switch(&mut self, pause: bool) -> Called {
        let (name, state) = if pause { ("paused", "paused") } else { ("resumed", "running") };
        if self.paused == pause {
            return Called::said(format!("It is {state} already."));
        }
        self.paused = pause;
        self.log.push(name.to_owned());
        Called::said(format!("Monitor {name}.")).with(event(name, json!({})))
    }
}

fn event(name: &str, fields: Value) -> Noticed {
    Noticed::new("monitor", name, fields)
}

/// `text` as a value of the same type as `like`, or the words for what is expected.
fn read_as(like: &Value, text: &str) -> Result<Value, &'static str> {
    let text = text.trim();
    if like.is_boolean() {
        return match text.to_lowercase().as_str() {
            "true" | "on" | "yes" => Ok(Value::from(true)),
            "false" | "off" | "no" => Ok(Value::from(false)),
            _ => Err("`true` or `false`"),
        };
    }
    if like.is_i64()
        && let Ok(number) = text.parse::<i64>()
    {
        return Ok(Value::from(number));
    }
    if like.is_number() {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        return number.map(Value::from).ok_or("a number");
    }
    Ok(Value::from(text))
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Part for Watch {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["monitor"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        _: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        now(self.answer(&call.arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{told, words};
    use super::*;

    fn watch() -> Watch {
        let settings = [("sampling", json!(20)), ("alerts", json!(true)), ("to", json!("ann"))];
        let settings = settings.map(|(key, value)| (key.to_owned(), value));
        Watch::new("a".to_owned(), settings.to_vec())
    }

    #[test]
    fn a_change_tells_both_values_with_their_types_and_stays_in_the_log() {
        let mut watch = watch();
        let mut set = |key, value| told(&watch.answer(&words(&["set", key, value])));
        assert_eq!(
            set("sampling", "0.5"),
            [r#"changed {"after":0.5,"before":20,"key":"sampling"}"#]
        );
        assert_eq!(
            set("alerts", "off"),
            [r#"changed {"after":false,"before":true,"key":"alerts"}"#]
        );
        assert_eq!(set("to", "bo"), [r#"changed {"after":"bo","before":"ann","key":"to"}"#]);
        assert_eq!(set("to", "bo"), [""; 0]);
        let log = watch.answer(&words(&["log"]));
        let lines = "  1  started\n  2  sampling: 20 -> 0.5\n  3  alerts: true -> false\n  4  to: ann -> bo\n";
        assert_eq!(log.answer.stdout, lines);
    }

    #[test]
    fn pausing_twice_is_one_event() {
        let mut watch = watch();
        let mut events = Vec::new();
        for command in ["pause", "pause", "status", "resume", "resume"] {
            events.extend(told(&watch.answer(&words(&[command]))));
        }
        assert_eq!(events, ["paused {}", r#"viewed {"what":"status"}"#, "resumed {}"]);
    }

    #[test]
    fn an_unknown_key_and_a_value_of_another_type_change_nothing() {
        for pair in [["volume", "1"], ["sampling", "often"], ["alerts", "2"]] {
            let called = watch().answer(&words(&["set", pair[0], pair[1]]));
            assert_eq!((called.answer.code, called.events.len()), (1, 0), "{pair:?}");
        }
    }
}
