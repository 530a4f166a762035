//! `beside`, `network` and `observe` of a sandbox.

use lapwing_core::{Network, Observe};

use super::Context;
use crate::diagnostic::Text;
use crate::reader::Item;
use crate::schema::SandboxDefinition;

/// The sandbox on whose network `name` is.
pub(super) fn beside(
    name: &Text,
    item: &Item<'_>,
    names: &[&str],
    context: &Context<'_>,
) -> Option<String> {
    let others = names.iter().copied().filter(|other| *other != name.value);
    context.known("other sandbox", &item.text()?, others)
}

pub(super) fn outside(item: &Item<'_>, context: &Context<'_>) -> Option<Network> {
    let word = context.known("network", &item.text()?, ["loopback", "sinkhole"].into_iter())?;
    Some(if word == "sinkhole" { Network::Sinkhole } else { Network::Loopback })
}

pub(super) fn observe(item: &Item<'_>, context: &Context<'_>) -> Option<Observe> {
    let mut observe = Observe::default();
    for text in item.texts()? {
        let word = context.known("thing to observe", &text, ["exec", "connect"].into_iter())?;
        observe.exec |= word == "exec";
        observe.connect |= word == "connect";
    }
    Some(observe)
}

/// Reports sandboxes beside one that has no network of its own, and such that would choose what is outside of it.
pub(super) fn check(named: &[(Text, Item<'_>)], sandboxes: &[SandboxDefinition]) {
    let found = |name: &str| sandboxes.iter().find(|sandbox| sandbox.name == name);
    for (name, item) in named {
        let Some(sandbox) = found(&name.value) else { continue };
        let Some(beside) = &sandbox.beside else { continue };
        let place = |key: &str| item.table().and_then(|table| table.get(key));
        if let Some(further) = found(beside).and_then(|other| other.beside.as_ref()) {
            let problem = format!("`{beside}` is itself beside `{further}`");
            let help = if further == &sandbox.name {
                "let one of them have the network: leave `beside` out there".to_owned()
            } else {
                format!("name the one that has the network: `beside = \"{further}\"`")
            };
            if let Some(item) = place("beside") {
                item.fail(|place| place.diagnostic(problem).help(help));
            }
        } else if let Some(item) = place("network") {
            let problem = format!("`{}` is on the network of `{beside}`", sandbox.name);
            let help = format!("say in `sandbox.{beside}` what is outside of it");
            item.fail(|place| place.diagnostic(problem).help(help));
        }
    }
}
