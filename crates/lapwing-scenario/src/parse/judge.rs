//! `evidence.judge.NAME`.

use super::Context;
use crate::diagnostic::near;
use crate::evidence::{JudgeOver, QueryKind};
use crate::reader::Table;
use crate::rubric;

/// The phase in which judges are asked, after those of the scenario.
const PHASE: &str = "judge";

pub(super) fn judge(table: &Table<'_>, context: &Context<'_>) -> Option<QueryKind> {
    let over = table.need("over", "\"answer\"").and_then(|item| {
        let parts = JudgeOver::ALL;
        let names = parts.iter().map(|(name, _)| *name);
        let name = context.known("part of a turn", &item.text()?, names)?;
        parts.into_iter().find(|(known, _)| *known == name).map(|(_, over)| over)
    });
    let rubric = table.need("rubric", "\"rubrics/claims.toml\"").and_then(|item| {
        let name = item.text()?;
        let rubrics = context.folder.files().keys().map(String::as_str);
        let rubrics: Vec<&str> = rubrics.filter(|path| rubric::is_rubric(path)).collect();
        if !context.folder.files().contains_key(&name.value) {
            let problem = name.diagnostic(format!("the file `{}` is missing", name.value));
            let make = "make it, `rubrics/NAME.toml` with `question`, `opposite`, `yes` and `not`";
            let others = if rubrics.is_empty() {
                String::new()
            } else {
                format!("; {}", near(&name.value, rubrics))
            };
            context.report(problem.help(format!("{make}{others}")));
            return None;
        }
        context.known("rubric", &name, rubrics.into_iter())
    });
    let label =
        table.need("label", "\"yes\"").and_then(|item| rubric::label(&item, context.problems));
    if context.phases.iter().any(|phase| phase == PHASE) {
        let problem = table.place().diagnostic(format!("`{PHASE}` is the id of a phase"));
        context.report(problem.help("judges are asked in a phase of that name; choose another id"));
    }
    Some(QueryKind::Judge { over: over?, rubric: rubric?, label: label? })
}
