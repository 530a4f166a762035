//! `inject.NAME`.

use super::Context;
use super::evidence::only_sandbox;
use crate::diagnostic::Text;
use crate::reader::{Item, Table};
use crate::schema::{DeliveryDefinition, InjectionDefinition};
use crate::template::Template;

const DELIVERIES: [&str; 3] = ["user", "mail", "file"];

pub(super) fn injections(root: &Table<'_>, context: &Context<'_>) -> Vec<InjectionDefinition> {
    let named = root.named("inject").into_iter();
    named.filter_map(|(name, item)| injection(&name, &item.table()?, context)).collect()
}

fn injection(name: &Text, table: &Table<'_>, context: &Context<'_>) -> Option<InjectionDefinition> {
    let name = context.identifier(name);
    let when = table.need("when", "\"notice\"").and_then(|item| context.rule(&item));
    let text = table.need("text", "\"reminder.md\"").and_then(|item| context.file_template(&item));
    let deliver = table.need("deliver", "\"user\"").and_then(|item| deliver(&item, table, context));
    table.report_unknown();
    Some(InjectionDefinition { name: name?, when: when?, deliver: deliver?, text: text? })
}

fn deliver(
    item: &Item<'_>,
    table: &Table<'_>,
    context: &Context<'_>,
) -> Option<DeliveryDefinition> {
    let text = item.text()?;
    match context.known("delivery", &text, DELIVERIES.into_iter())?.as_str() {
        "user" => Some(DeliveryDefinition::User),
        "mail" => {
            if !context.parts.iter().any(|part| part == "mail") {
                let problem = text.diagnostic("there is no inbox to deliver to");
                context.report(problem.help("declare `world.mail`"));
                return None;
            }
            Some(DeliveryDefinition::Mail)
        }
        _ => {
            let sandbox = match table.get("sandbox") {
                Some(item) => context.sandbox(&item.text()?),
                None => only_sandbox(table, context),
            };
            let path = table.need("path", "\"/home/agent/note.txt\"");
            let path = path.and_then(|item| path_template(&item.text()?, context));
            Some(DeliveryDefinition::File { sandbox: sandbox?, path: path? })
        }
    }
}

/// An absolute path, which may begin with a value.
fn path_template(text: &Text, context: &Context<'_>) -> Option<Template> {
    if !text.value.starts_with('/') && !text.value.starts_with("{{") {
        let problem = text.diagnostic(format!("`{}` is not an absolute path", text.value));
        context.report(problem.help("write `/home/agent/note.txt`"));
        return None;
    }
    context.text_template(text)
}
