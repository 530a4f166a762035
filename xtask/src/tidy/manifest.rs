//! What a crate's manifest must hold.

/// What is wrong with the manifest `text` of the crate `name`.
pub(super) fn problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut section = "";
    let mut takes_lints = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section == "lints" && line == "workspace = true" {
            takes_lints = true;
        } else if section.ends_with("dependencies") && line.contains('=') && !is_shared(line) {
            problems.push(format!("{name}: take the version from the workspace: {line}"));
        }
    }
    if !takes_lints {
        problems.push(format!("{name}: its manifest needs [lints] workspace = true"));
    }
    problems
}

fn is_shared(line: &str) -> bool {
    line.starts_with('#') || line.contains("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_workspace_in_all_kinds_of_dependencies() {
        let text = "[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = { workspace = true, features = [\"x\"] }\n\
                    c = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nd = { version = \"2\" }\n";
        assert_eq!(
            problems("x", text),
            [
                "x: take the version from the workspace: c = \"1\"",
                "x: take the version from the workspace: d = { version = \"2\" }",
            ]
        );
    }

    #[test]
    fn a_manifest_without_the_lints_is_a_breach() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\n";
        assert_eq!(problems("x", text), ["x: its manifest needs [lints] workspace = true"]);
    }
}
