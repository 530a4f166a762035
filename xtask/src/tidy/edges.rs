//! Which crate may depend on which. Development dependencies are free.

/// Each crate with the crates that it may depend on; the table of ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lapwing-core", &[]),
    ("lapwing-stats", &[]),
    ("lapwing-model", &["lapwing-core"]),
    ("lapwing-sandbox", &["lapwing-core"]),
    ("lapwing-store", &["lapwing-core"]),
    ("lapwing-scenario", &["lapwing-core"]),
    ("lapwing-eval", &["lapwing-core", "lapwing-stats", "lapwing-store", "lapwing-scenario"]),
    ("lapwing-lab", &["lapwing-core"]),
    ("lapwing-local", &["lapwing-core", "lapwing-lab"]),
    ("lapwing-study", &["lapwing-lab", "lapwing-stats"]),
    ("lapwing-inspect", &["lapwing-core", "lapwing-store", "lapwing-scenario", "lapwing-eval"]),
    (
        "lapwing",
        &[
            "lapwing-core",
            "lapwing-stats",
            "lapwing-model",
            "lapwing-sandbox",
            "lapwing-store",
            "lapwing-scenario",
            "lapwing-eval",
            "lapwing-inspect",
            "lapwing-lab",
            "lapwing-local",
            "lapwing-study",
        ],
    ),
    ("xtask", &[]),
];

/// The dependencies of `name` on our own crates that the table does not allow.
pub(super) fn problems(name: &str, dependencies: &[&str]) -> Vec<String> {
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: not in the table of crates (xtask/src/tidy/edges.rs)")];
    };
    let forbidden = dependencies.iter().filter(|dependency| !allowed.contains(dependency));
    let may = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
    forbidden.map(|to| format!("{name} depends on {to}; it may depend on {may}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_edge_passes_and_a_forbidden_one_names_the_rule() {
        assert_eq!(problems("lapwing-eval", &["lapwing-core", "lapwing-store"]), [""; 0]);
        assert_eq!(
            problems("lapwing-store", &["lapwing-core", "lapwing-eval"]),
            ["lapwing-store depends on lapwing-eval; it may depend on lapwing-core"]
        );
        assert_eq!(
            problems("lapwing-core", &["lapwing-stats"]),
            ["lapwing-core depends on lapwing-stats; it may depend on none of our crates"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_a_breach() {
        assert_eq!(problems("lapwing-new", &[]).len(), 1);
    }

    #[test]
    fn the_table_has_no_cycle() {
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for to in *allowed {
                let position = ALLOWED.iter().position(|(known, _)| known == to);
                assert!(position.is_some_and(|position| position < index), "{name} -> {to}");
            }
        }
    }
}
