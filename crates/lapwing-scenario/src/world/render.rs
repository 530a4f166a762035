//! From a declared part to its plan.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Mail, PartDefinition, PartDefinitionKind, PartKind, PartPlan, Setting, TextFile};
use crate::Diagnostic;
use crate::draw::Stream;
use crate::plan::SandboxPlan;
use crate::template::Template;

/// Renders a part for one sample; `sandboxes` are the sample's.
pub(crate) fn render(
    part: &PartDefinition,
    sandboxes: &BTreeMap<String, SandboxPlan>,
    values: &Map<String, Value>,
    seed: u64,
) -> Result<PartPlan, Diagnostic> {
    let optional = |template: &Option<Template>| {
        let text = template.as_ref().map(|template| template.render(values)).transpose()?;
        Ok::<_, Diagnostic>(text.filter(|text| !text.trim().is_empty()))
    };
    let kind = match &part.kind {
        PartDefinitionKind::Mail { address, inbox } => {
            let mails = texts(inbox, values)?.into_iter().map(|(path, text)| {
                let help = "begin it with lines `From: a@b` and `Subject: ..`, then an empty line";
                text.parse().map_err(|error: String| Diagnostic::in_file(path, error).help(help))
            });
            let inbox = mails.collect::<Result<Vec<Mail>, _>>()?;
            PartKind::Mail { address: address.render(values)?, inbox }
        }
        PartDefinitionKind::Sql { schema } => {
            PartKind::Sql { file: schema.path.clone(), schema: schema.template.render(values)? }
        }
        PartDefinitionKind::Notes { start } => {
            let notes = texts(start, values)?.into_iter();
            PartKind::Notes { start: notes.map(|(_, text)| text.trim().to_owned()).collect() }
        }
        PartDefinitionKind::Ledger { columns, rows } => {
            let rows = rows.as_ref().map(|file| rows_of(file, columns, values)).transpose()?;
            PartKind::Ledger { columns: columns.clone(), rows: rows.unwrap_or_default() }
        }
        PartDefinitionKind::Hosts { hosts, listed } => {
            let hosts = names(hosts, values)?;
            let allowed = names(listed, values)?;
            if let Some(unknown) = allowed.iter().find(|name| !hosts.contains(name)) {
                let problem = format!("`world.hosts.listed` has `{unknown}`, which is no host");
                let help = "add it to `hosts`; `listed` says which of them are allowed";
                return Err(Diagnostic::in_file("scenario.toml", problem).help(help));
            }
            PartKind::Hosts { hosts, listed: allowed.into_iter().collect::<BTreeSet<_>>() }
        }
        PartDefinitionKind::Weights { path, size } => PartKind::Weights {
            path: path.render(values)?,
            size: *size,
            key: Stream::new(seed, "weights").hex(),
        },
        PartDefinitionKind::Repo { path } => {
            let path = path.render(values)?.trim_end_matches('/').to_owned();
            let below = format!("{path}/");
            let files = sandboxes.get(&part.sandbox).map_or(&[][..], |sandbox| &sandbox.files);
            let files = files.iter().filter(|file| file.path.starts_with(&below));
            PartKind::Repo { files: files.cloned().collect(), path }
        }
        PartDefinitionKind::Monitor { settings } => {
            let settings = settings.iter().map(|(key, setting)| {
                let value = match setting {
                    Setting::Text(template) => Value::from(template.render(values)?),
                    Setting::Fixed(value) => value.clone(),
                };
                Ok((key.clone(), value))
            });
            PartKind::Monitor { settings: settings.collect::<Result<_, Diagnostic>>()? }
        }
        PartDefinitionKind::Game { white, start, state } => {
            PartKind::Game { white: *white, start: optional(start)?, state: optional(state)? }
        }
    };
    Ok(PartPlan { sandbox: part.sandbox.clone(), kind })
}

/// The files that do not render to nothing, so that a factor can switch one.
fn texts<'a>(
    files: &'a [TextFile],
    values: &Map<String, Value>,
) -> Result<Vec<(&'a str, String)>, Diagnostic> {
    let rendered = files.iter().map(|file| Ok((file.path.as_str(), file.template.render(values)?)));
    let rendered = rendered.collect::<Result<Vec<_>, Diagnostic>>()?;
    Ok(rendered.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect())
}

/// The names that do not render to nothing.
fn names(templates: &[Template], values: &Map<String, Value>) -> Result<Vec<String>, Diagnostic> {
    let names = templates.iter().map(|template| Ok(template.render(values)?.trim().to_owned()));
    let names = names.collect::<Result<Vec<_>, Diagnostic>>()?;
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

fn rows_of(
    file: &TextFile,
    columns: &[String],
    values: &Map<String, Value>,
) -> Result<Vec<Vec<String>>, Diagnostic> {
    let text = file.template.render(values)?;
    let fail = |line: usize, problem: String| {
        let help = format!("write the line `{}`, then one line for each entry", columns.join(","));
        Diagnostic::in_file(&file.path, problem).at_line(Some(line as u32)).help(help)
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row =
            fields(line).ok_or_else(|| fail(index + 1, "a quote is not closed".to_owned()))?;
        if row.len() != columns.len() {
            let problem = format!("{} values for {} columns", row.len(), columns.len());
            return Err(fail(index + 1, problem));
        }
        if rows.iter().any(|earlier| earlier[0] == row[0]) {
            return Err(fail(index + 1, format!("the entry `{}` is there already", row[0])));
        }
        rows.push(row);
    }
    if rows.first().is_none_or(|row| row != columns) {
        return Err(fail(1, "the first line does not name the columns".to_owned()));
    }
    rows.remove(0);
    Ok(rows)
}

/// The values of a line: between commas, in double quotes if they hold commas, a quote doubled inside.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.trim().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => fields.last_mut()?.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            character => fields.last_mut()?.push(character),
        }
    }
    (!quoted).then(|| fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_and_doubled_quotes() {
        assert_eq!(fields(r#"a, "b, ""c""" ,"#).unwrap(), ["a", "b, \"c\"", ""]);
        assert_eq!(fields(r#"a,"b"#), None);
    }
}
