//! One sample's world and phases, everything rendered.

use std::collections::BTreeMap;

use lapwing_core::{Condition, Delivery, Limits, Network, NewFile, Observe};
use serde_json::{Map, Value};

use crate::draw::Stream;
use crate::evidence::Glob;
use crate::schema::{
    Content, Definition, DeliveryDefinition, FileDefinition, InjectionDefinition, PhaseDefinition,
    PhaseDefinitionKind, SandboxDefinition, Vary,
};
use crate::template::Template;
use crate::world::{self, PartPlan};
use crate::{Codebook, Diagnostic};

/// Characters of the longest host name.
const MAX_HOSTNAME: usize = 63;

/// What one sample needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Drawn values, the level of every factor and the nonce.
    pub values: Map<String, Value>,
    /// Sandboxes by name.
    pub sandboxes: BTreeMap<String, SandboxPlan>,
    /// Services, in the order in which they start.
    pub services: Vec<ServicePlan>,
    /// Programs offered inside.
    pub programs: Vec<ProgramPlan>,
    /// The files of `programs/`, rendered, by path relative to that folder.
    pub backstage: Vec<NewFile>,
    /// Parts of the world, in the order of the file.
    pub world: Vec<PartPlan>,
    /// What is delivered in mid-run, in the order of the file.
    pub injections: Vec<InjectionPlan>,
    /// Phases in their order.
    pub phases: Vec<PhasePlan>,
    /// What the answer of a tiny model means, in a sample that is held in its words.
    pub codebook: Option<Codebook>,
}

/// A sandbox to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxPlan {
    /// Host name inside.
    pub hostname: String,
    /// Files to be written, by absolute path.
    pub files: Vec<NewFile>,
    /// A script to be run inside after the files are written.
    pub setup: Option<String>,
    /// Files of other sandboxes that are copied here when this one is made, behind its own files.
    pub carry: Vec<CarryPlan>,
    /// Absolute paths to be made read-only after the set-up.
    pub read_only: Vec<String>,
    /// Resource limits.
    pub limits: Limits,
    /// The sandbox on whose network it is, if it has none of its own.
    pub beside: Option<String>,
    /// Names by which all sandboxes on its network reach it.
    pub names: Vec<String>,
    /// What is outside of its loopback.
    pub network: Network,
    /// What pid 1 writes down.
    pub observe: Observe,
    /// Its root file system as the scenario names it; `None` for the host's programs.
    pub root: Option<String>,
}

/// Files that one sandbox takes over from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarryPlan {
    /// The sandbox that they come from, as it is then.
    pub from: String,
    /// Which of its regular files.
    pub paths: Vec<Glob>,
}

/// Something to be delivered once its `when` is known to be true; see [`crate::Scenario::is_due`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectionPlan {
    /// Its name.
    pub name: String,
    /// How it reaches the model. A file has its sandbox and path here.
    pub deliver: Delivery,
    /// The text; of a mail, with its header lines.
    pub text: String,
}

/// A service to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// The sandbox that it runs in.
    pub sandbox: String,
    /// Program and arguments.
    pub argv: Vec<String>,
}

/// A program to be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramPlan {
    /// Its name inside.
    pub name: String,
    /// The sandbox that offers it.
    pub sandbox: String,
    /// The executable that answers its calls, relative to the `programs/` folder.
    pub run: String,
}

/// A phase to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhasePlan {
    /// Its id.
    pub id: String,
    /// It is run only on request.
    pub optional: bool,
    /// What happens in it.
    pub kind: PhaseKind,
}

/// Kinds of phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// The model works with tools.
    Agent {
        /// The sandbox that it works in.
        sandbox: String,
        /// The system message; `None` if it renders to nothing.
        system: Option<String>,
        /// The user message.
        user: String,
        /// Tools by name.
        tools: Vec<String>,
        /// The neutral message after a turn without a tool call.
        nudge: Option<String>,
        /// Most turns.
        turns: u32,
    },
    /// The model is asked, without tools.
    Ask {
        /// The questions, one after another.
        questions: Vec<String>,
        /// Whether they are asked in a fresh conversation.
        fresh: bool,
        /// How often the whole list is asked at most. The phase ends early when its `until` is known to be true.
        times: u32,
    },
    /// A program of the folder runs.
    Run {
        /// The program, relative to the `programs/` folder.
        program: String,
        /// Where it runs.
        place: RunPlace,
    },
}

/// Where the program of a `run` phase runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunPlace {
    /// In a fresh sandbox of its own, out of the agent's reach.
    Backstage {
        /// The sandbox that it can ask to have commands run in, and whose files are copied; `None` if it needs none.
        of: Option<String>,
        /// The files of that sandbox that are copied to `tree/` beside the program, at their absolute paths.
        copy: Vec<Glob>,
    },
    /// As a script for `sh` in this sandbox, which the agent may have changed.
    Inside(String),
}

/// Renders the plan of one sample.
pub(crate) fn plan(
    definition: &Definition,
    condition: &Condition,
    seed: u64,
) -> Result<Plan, Diagnostic> {
    let values = values(definition, condition, seed)?;
    let sandboxes = definition
        .sandboxes
        .iter()
        .map(|sandbox| Ok((sandbox.name.clone(), sandbox_plan(sandbox, &values)?)));
    let services = definition.services.iter().map(|service| {
        let argv = service.argv.iter().map(|argument| argument.render(&values));
        let argv = argv.collect::<Result<_, Diagnostic>>()?;
        Ok(ServicePlan { name: service.name.clone(), sandbox: service.sandbox.clone(), argv })
    });
    let programs = definition.programs.iter().map(|program| ProgramPlan {
        name: program.name.clone(),
        sandbox: program.sandbox.clone(),
        run: program.run.clone(),
    });
    let sandboxes = sandboxes.collect::<Result<_, Diagnostic>>()?;
    let world = definition.world.iter().map(|part| world::render(part, &sandboxes, &values, seed));
    Ok(Plan {
        world: world.collect::<Result<_, _>>()?,
        sandboxes,
        services: services.collect::<Result<_, Diagnostic>>()?,
        programs: programs.collect(),
        backstage: files(&definition.backstage, "", &values)?,
        injections: definition
            .injections
            .iter()
            .map(|injection| injection_plan(injection, &values))
            .collect::<Result<_, _>>()?,
        phases: definition
            .phases
            .iter()
            .map(|phase| phase_plan(phase, &values))
            .collect::<Result<_, _>>()?,
        codebook: None,
        values,
    })
}

/// What the templates of a sample can name.
fn values(
    definition: &Definition,
    condition: &Condition,
    seed: u64,
) -> Result<Map<String, Value>, Diagnostic> {
    let mut values = Map::new();
    for (factor, level) in &condition.levels {
        values.insert(factor.clone(), Value::from(level.as_str()));
    }
    values.insert("nonce".to_owned(), Value::from(Stream::new(seed, "nonce").hex()));
    for vary in &definition.vary {
        values.insert(vary.name.clone(), drawn(vary, definition, seed));
    }
    for (name, text) in &definition.texts {
        let text = text.render(&values)?;
        values.insert(name.clone(), Value::from(text.trim()));
    }
    Ok(values)
}

fn drawn(vary: &Vary, definition: &Definition, seed: u64) -> Value {
    let list = definition.lists.get(&vary.list).map_or(&[][..], Vec::as_slice);
    let indices = Stream::new(seed, &vary.name).distinct(vary.n.unwrap_or(1), list.len());
    let mut entries = indices.into_iter().map(|index| Value::from(list[index].as_str()));
    match vary.n {
        Some(_) => Value::Array(entries.collect()),
        None => entries.next().unwrap_or_default(),
    }
}

fn sandbox_plan(
    sandbox: &SandboxDefinition,
    values: &Map<String, Value>,
) -> Result<SandboxPlan, Diagnostic> {
    let read_only = sandbox.read_only.iter().map(|path| path.render(values));
    let read_only = read_only.collect::<Result<Vec<_>, _>>()?;
    Ok(SandboxPlan {
        hostname: hostname(&sandbox.hostname, values)?,
        files: files(&sandbox.files, "/", values)?,
        setup: sandbox.setup.as_ref().map(|setup| setup.render(values)).transpose()?,
        carry: sandbox.carry.clone(),
        read_only: read_only.into_iter().filter(|path| !path.trim().is_empty()).collect(),
        limits: sandbox.limits.clone(),
        beside: sandbox.beside.clone(),
        names: sandbox
            .names
            .iter()
            .map(|name| domain_name(name, values))
            .collect::<Result<_, _>>()?,
        network: sandbox.network,
        observe: sandbox.observe,
        root: sandbox.demand.root().map(str::to_owned),
    })
}

/// A label of RFC 1123.
fn is_label(name: &str) -> bool {
    (1..=MAX_HOSTNAME).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Labels with dots between them.
fn domain_name(template: &Template, values: &Map<String, Value>) -> Result<String, Diagnostic> {
    let name = template.render(values)?;
    if !name.split('.').all(is_label) {
        let help = "write labels of letters, digits and `-` with dots between: `names = [\"mail.internal\"]`";
        return Err(template.fail(format!("`{name}` is no name of a host")).help(help));
    }
    Ok(name)
}

/// A host name: one label.
fn hostname(template: &Template, values: &Map<String, Value>) -> Result<String, Diagnostic> {
    let name = template.render(values)?;
    if !is_label(&name) {
        let help = "use letters, digits and `-` inside, 1 to 63 of them: `hostname = \"desk-4\"`";
        return Err(template.fail(format!("`{name}` is no host name")).help(help));
    }
    Ok(name)
}

/// The files with their templates rendered, each path behind `root`.
fn files(
    files: &[FileDefinition],
    root: &str,
    values: &Map<String, Value>,
) -> Result<Vec<NewFile>, Diagnostic> {
    let rendered = files.iter().map(|file| {
        let bytes = match &file.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Template(template) => template.render(values)?.into_bytes(),
        };
        let mode = if bytes.starts_with(b"#!") { 0o755 } else { 0o644 };
        Ok(NewFile { path: format!("{root}{}", file.path), bytes, mode })
    });
    rendered.collect()
}

fn phase_plan(
    phase: &PhaseDefinition,
    values: &Map<String, Value>,
) -> Result<PhasePlan, Diagnostic> {
    let message = |template: &Template| Ok(template.render(values)?.trim().to_owned());
    let kind = match &phase.kind {
        PhaseDefinitionKind::Agent(agent) => PhaseKind::Agent {
            sandbox: agent.sandbox.clone(),
            system: agent
                .system
                .as_ref()
                .map(message)
                .transpose()?
                .filter(|text: &String| !text.is_empty()),
            user: message(&agent.user)?,
            tools: agent.tools.clone(),
            nudge: agent.nudge.as_ref().map(message).transpose()?,
            turns: agent.turns,
        },
        PhaseDefinitionKind::Ask(ask) => PhaseKind::Ask {
            questions: ask.questions.iter().map(message).collect::<Result<_, _>>()?,
            fresh: ask.fresh,
            times: ask.times,
        },
        PhaseDefinitionKind::Run { program, place } => {
            PhaseKind::Run { program: program.clone(), place: place.clone() }
        }
    };
    Ok(PhasePlan { id: phase.id.clone(), optional: phase.optional, kind })
}

fn injection_plan(
    injection: &InjectionDefinition,
    values: &Map<String, Value>,
) -> Result<InjectionPlan, Diagnostic> {
    let deliver = match &injection.deliver {
        DeliveryDefinition::User => Delivery::User,
        DeliveryDefinition::Mail => Delivery::Mail,
        DeliveryDefinition::File { sandbox, path } => {
            Delivery::File { sandbox: sandbox.clone(), path: path.render(values)? }
        }
    };
    let text = injection.text.render(values)?;
    // A message is trimmed like every other one; a mail and a file are what they are.
    let text = if deliver == Delivery::User { text.trim().to_owned() } else { text };
    Ok(InjectionPlan { name: injection.name.clone(), deliver, text })
}
