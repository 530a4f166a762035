//! What a scenario's sandboxes ask of this machine, before the first sample: root file systems and limits.

use std::collections::BTreeMap;

use lapwing_core::{Digest, Enforced, Enforcement, Provider, SandboxError};
use lapwing_scenario::{Demand, Diagnostic, Scenario};
use lapwing_store::RunSpec;

use crate::failure::Failure;

/// The setting of a run that says where its scenario's folder was, if a root file system lies in it.
pub(crate) const FOLDER: &str = "scenario_folder";

/// The root file systems of a scenario's sandboxes, ready.
pub(crate) struct Machine {
    /// Digests by the names that the scenario gives them.
    pub(crate) roots: BTreeMap<String, Digest>,
    /// Of each sandbox what its root is, in words.
    kinds: BTreeMap<String, String>,
}

impl Machine {
    /// Refuses a scenario whose limits nothing holds here, and prepares its root file systems.
    pub(crate) async fn prepare(
        scenario: &Scenario,
        provider: &dyn Provider,
    ) -> Result<Self, Failure> {
        refuse_unheld(scenario, provider.enforced())?;
        let mut machine = Self { roots: BTreeMap::new(), kinds: BTreeMap::new() };
        for demand in scenario.demands() {
            machine.prepare_root(scenario, demand, provider).await?;
        }
        Ok(machine)
    }

    /// The same for a run that was begun before. A sandbox with other files than it had then is refused.
    pub(crate) async fn prepare_again(
        scenario: &Scenario,
        provider: &dyn Provider,
        spec: &RunSpec,
    ) -> Result<Self, Failure> {
        let machine = Self::prepare(scenario, provider).await?;
        for demand in scenario.demands() {
            let setting = spec.settings.get(&root_setting(demand.sandbox()));
            let (Some(before), Some(now)) = (setting, machine.kinds.get(demand.sandbox())) else {
                continue;
            };
            let (before, now) = (digest_of(before), digest_of(now));
            if before != now {
                let problem = format!(
                    "its files are not those with which the run began: {before} then, {now} now"
                );
                let mend = "put the old ones back, or begin another run with `lapwing eval`";
                return Err(environment(demand.root_fault(problem, mend)));
            }
        }
        Ok(machine)
    }

    async fn prepare_root(
        &mut self,
        scenario: &Scenario,
        demand: &Demand,
        provider: &dyn Provider,
    ) -> Result<(), Failure> {
        let path = demand.root_path(scenario.folder().place())?;
        let (Some(name), Some(path)) = (demand.root(), path) else { return Ok(()) };
        let files = provider.prepare(&path).await.map_err(|error| {
            let mend = match &error {
                SandboxError::Unavailable { mend, .. } => mend,
                SandboxError::Failed { .. } | SandboxError::Lost { .. } => {
                    "`lapwing doctor` may tell why"
                }
            };
            environment(demand.root_fault(error.to_string(), mend))
        })?;
        let kind = format!("sha256:{}, {}, {name}", files.digest, files.kind);
        self.kinds.insert(demand.sandbox().to_owned(), kind);
        self.roots.insert(name.to_owned(), files.digest);
        Ok(())
    }

    /// What the record of a run says of root file systems and of limits.
    pub(crate) fn settings(
        &self,
        scenario: &Scenario,
        enforced: Enforced,
    ) -> Vec<(String, String)> {
        let roots = self.kinds.iter().map(|(sandbox, kind)| (root_setting(sandbox), kind.clone()));
        let limits = limits(enforced).map(|(name, by)| (format!("limit.{name}"), by.to_owned()));
        // Elsewhere nobody needs to know where a folder was.
        let place =
            scenario.folder().place().filter(|_| scenario.demands().any(Demand::has_relative_root));
        let place = place.map(|place| (FOLDER.to_owned(), place.display().to_string()));
        roots.chain(limits).chain(place).collect()
    }
}

fn root_setting(sandbox: &str) -> String {
    format!("root.{sandbox}")
}

/// The digest at the beginning of what the record says of a root.
fn digest_of(kind: &str) -> &str {
    kind.split_once(',').map_or(kind, |(digest, _)| digest)
}

/// Sandboxes that live at a time: not more than the processors can serve, nor than the memory that is available can hold.
pub(crate) fn most_live(scenario: &Scenario, wanted: Option<u64>) -> usize {
    const OF_A_CORE: usize = 16;
    if let Some(wanted) = wanted {
        return wanted as usize;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let by_memory = available_bytes()
        .map_or(usize::MAX, |available| (available / scenario.most_memory().max(1)) as usize);
    (OF_A_CORE * cores).min(by_memory).max(1)
}

fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Refuses a scenario that asks for a kernel that holds its limits, where it does not.
fn refuse_unheld(scenario: &Scenario, enforced: Enforced) -> Result<(), Failure> {
    let needs = scenario.demands().find(|demand| demand.needs_kernel());
    let (Some(demand), true) = (needs, enforced.memory != Enforcement::Kernel) else {
        return Ok(());
    };
    let (scenario, sandbox) = (scenario.name(), demand.sandbox());
    let problem = format!(
        "the scenario `{scenario}` wants the kernel to hold the limit on memory of sandbox `{sandbox}`, \
         and here only a watchdog does"
    );
    let mend = "start lapwing where it may make control groups with the memory controller, as with \
                `systemd-run --user --scope -p Delegate=yes lapwing ..`, or write `enforce = \"best-effort\"`; \
                `lapwing doctor` tells what was found";
    Err(environment(demand.enforce_fault(problem, mend)))
}

fn environment(fault: Diagnostic) -> Failure {
    Failure::from(fault).of_environment()
}

/// What holds each limit, in a word.
fn limits(enforced: Enforced) -> impl Iterator<Item = (&'static str, &'static str)> {
    let Enforced { memory, disk, files, processes, processors, processor_time } = enforced;
    let by = |enforcement| match enforcement {
        Enforcement::Kernel => "kernel",
        Enforcement::Watchdog => "watchdog",
        Enforcement::None => "none",
    };
    [
        ("memory", memory),
        ("disk", disk),
        ("files", files),
        ("processes", processes),
        ("processors", processors),
        ("processor_time", processor_time),
    ]
    .into_iter()
    .map(move |(name, enforcement)| (name, by(enforcement)))
}
