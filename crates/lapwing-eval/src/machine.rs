//! A named sandbox of a sample: made on first use, its state taken at checkpoints.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use lapwing_core::{
    Act, Blobs as _, Captured, Change, Command, Digest, Entry, EntryKind, Executor, Manifest,
    NewFile, Provider, Running, Sandbox, SandboxError, SandboxSpec, Service,
};
use lapwing_scenario::{Glob, Plan, SandboxPlan};

use crate::log::Log;
use crate::sample::{Halt, Shared};
use crate::tool;
use crate::watched::{self, Watched};

/// Changed files up to this size are kept with their bytes.
const KEPT_BYTES: u64 = 1 << 20;

/// Of one checkpoint, at most this many changed files are kept with their bytes; all are kept with their digests.
const KEPT_FILES: usize = 1_000;

/// Changed files up to this size are shown to the parts of the world.
const SHOWN_BYTES: u64 = 16 << 20;

/// Bytes of all files that are copied from a sandbox at a time.
const COPIED_BYTES: u64 = 256 << 20;

/// Characters of a command's output in its event.
const LOGGED_CHARACTERS: usize = 65_536;

/// What a sandbox gets beside what its own table in the scenario says.
#[derive(Default)]
pub(crate) struct Extra {
    /// Commands that parts of the world offer.
    pub(crate) commands: Vec<String>,
    /// Files of those parts, and files that are carried over from other sandboxes.
    pub(crate) files: Vec<NewFile>,
}

/// What a checkpoint shows.
pub(crate) struct Taken {
    pub(crate) changes: Vec<Change>,
    /// Bytes of changed files that are too large to be kept.
    pub(crate) large: HashMap<Digest, Vec<u8>>,
}

pub(crate) struct Machine {
    name: String,
    pub(crate) sandbox: Arc<dyn Sandbox>,
    manifest: Option<Manifest>,
    services: Vec<Service>,
    watched: Option<Watched>,
}

impl Machine {
    /// Creates the sandbox `name` of `plan`: files, set-up, services, read-only paths, and the first checkpoint.
    pub(crate) async fn create(
        name: &str,
        plan: &Plan,
        extra: Extra,
        shared: &Shared<'_>,
        provider: &dyn Provider,
        log: &mut Log<'_>,
    ) -> Result<Self, Halt> {
        let Some(made_of) = plan.sandboxes.get(name) else {
            return Err(Halt::bug(format!("the plan has no sandbox `{name}`")));
        };
        let programs = plan.programs.iter().filter(|program| program.sandbox == name);
        let programs = programs.map(|program| program.name.clone());
        let spec = SandboxSpec {
            hostname: made_of.hostname.clone(),
            programs: programs.chain(extra.commands).collect(),
            limits: made_of.limits.clone(),
            network: made_of.network,
            observe: made_of.observe,
            names: watched::names(name, plan),
            root: shared.root_of(made_of),
        };
        let sandbox: Arc<dyn Sandbox> = Arc::from(provider.create(spec).await?);
        let mut machine = Self {
            name: name.to_owned(),
            sandbox,
            manifest: None,
            services: Vec::new(),
            watched: Watched::of(made_of),
        };
        let files = [made_of.files.clone(), extra.files].concat();
        machine.furnish(made_of, files.clone(), log).await?;
        machine.start_services(plan).await?;
        machine.sandbox.protect(&made_of.read_only).await?;
        machine.begin_watching(log).await?;
        machine.list(log).await?;
        machine.checkpoint(log).await?;
        if log.remembers() {
            machine.keep_first(files, log).await?;
        }
        Ok(machine)
    }

    async fn furnish(
        &self,
        made_of: &SandboxPlan,
        files: Vec<NewFile>,
        log: &mut Log<'_>,
    ) -> Result<(), Halt> {
        self.sandbox.put(files).await?;
        let Some(setup) = &made_of.setup else { return Ok(()) };
        let mut command = Command::new(["sh", "-e", "-s"]);
        command.stdin = setup.clone().into_bytes();
        let captured = self.sandbox.exec(command.clone()).await?;
        self.log_exec(log, Executor::Setup, command.argv, &captured);
        if captured.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&captured.stderr).trim().to_owned();
        Err(Halt::scenario(format!("the set-up of sandbox `{}` failed: {said}", self.name)))
    }

    /// Says what is recorded from here on. The set-up is the scenario's own.
    async fn begin_watching(&self, log: &mut Log<'_>) -> Result<(), SandboxError> {
        if let Some(watched) = &self.watched {
            self.sandbox.observed().await?;
            log.push(watched.act(&self.name, 0));
        }
        Ok(())
    }

    /// Logs what was recorded since the last time.
    pub(crate) async fn note_observed(&self, log: &mut Log<'_>) -> Result<(), SandboxError> {
        if let Some(watched) = &self.watched {
            let observed = self.sandbox.observed().await?;
            watched.log(&self.name, observed, log);
        }
        Ok(())
    }

    /// Starts the services in order, each with its process id in `/run/NAME.pid`, as init systems leave it.
    async fn start_services(&self, plan: &Plan) -> Result<(), SandboxError> {
        for service in plan.services.iter().filter(|service| service.sandbox == self.name) {
            self.sandbox.start(&service.name, Command::new(service.argv.clone())).await?;
        }
        let started = self.sandbox.services().await?;
        let pid_files = started.iter().map(|service| NewFile {
            path: format!("/run/{}.pid", service.name),
            bytes: format!("{}\n", service.pid).into_bytes(),
            mode: 0o644,
        });
        self.sandbox.put(pid_files.collect()).await
    }

    /// Takes the state of the files and logs what changed since the last time.
    pub(crate) async fn checkpoint(&mut self, log: &mut Log<'_>) -> Result<Taken, Halt> {
        self.note_observed(log).await?;
        let manifest = self.sandbox.manifest().await?;
        let changes = match &self.manifest {
            Some(before) => before.changes_to(&manifest),
            None => Vec::new(),
        };
        let large = self.keep_changed(&changes, log).await?;
        let listing =
            serde_json::to_vec(&manifest).map_err(|error| Halt::bug(error.to_string()))?;
        log.push(Act::Checkpointed {
            sandbox: self.name.clone(),
            manifest: log.recorder().keep(listing),
            changes: changes.clone(),
        });
        self.manifest = Some(manifest);
        Ok(Taken { changes, large })
    }

    /// Keeps the bytes of changed files. Those of larger ones are returned, where somebody looks at them.
    async fn keep_changed(
        &self,
        changes: &[Change],
        log: &mut Log<'_>,
    ) -> Result<HashMap<Digest, Vec<u8>>, SandboxError> {
        let mut large = HashMap::new();
        let reach = if log.remembers() { SHOWN_BYTES } else { KEPT_BYTES };
        let files = changes.iter().filter_map(|change| {
            let entry = change.after.as_ref()?;
            (entry.kind == EntryKind::File && entry.size <= reach).then_some((&change.path, entry))
        });
        let is_at_hand = |entry: &Entry| entry.digest.is_some_and(|digest| log.has(digest));
        let unknown = files.take(KEPT_FILES).filter(|(_, entry)| !is_at_hand(entry));
        let paths: Vec<String> = unknown.map(|(path, _)| path.clone()).collect();
        for bytes in self.sandbox.get_all(&paths, reach).await?.into_iter().flatten() {
            if bytes.len() as u64 > KEPT_BYTES {
                large.insert(Digest::of(&bytes), bytes);
            } else {
                log.keep_bytes(bytes);
            }
        }
        Ok(large)
    }

    /// Keeps the bytes of the files that are there from the beginning; those that were just written are at hand.
    async fn keep_first(&self, written: Vec<NewFile>, log: &mut Log<'_>) -> Result<(), Halt> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let at_hand = written.into_iter().filter(|file| file.bytes.len() as u64 <= KEPT_BYTES);
        let mut at_hand: HashMap<Digest, Vec<u8>> =
            at_hand.map(|file| (Digest::of(&file.bytes), file.bytes)).collect();
        let files = manifest.entries.iter().filter(|(_, entry)| is_kept(entry));
        let mut paths = Vec::new();
        for (path, entry) in files.take(KEPT_FILES) {
            let Some(digest) = entry.digest.filter(|digest| !log.has(*digest)) else { continue };
            match at_hand.remove(&digest) {
                Some(bytes) => {
                    log.keep_bytes(bytes);
                }
                None => paths.push(path.clone()),
            }
        }
        for bytes in self.sandbox.get_all(&paths, KEPT_BYTES).await?.into_iter().flatten() {
            log.keep_bytes(bytes);
        }
        Ok(())
    }

    /// Takes the file at `path`, and the folders above it, for what was always there: the harness wrote it just now.
    pub(crate) async fn take_as_given(
        &mut self,
        path: &str,
        log: &mut Log<'_>,
    ) -> Result<(), Halt> {
        let now = self.sandbox.manifest().await?;
        let Some(known) = &mut self.manifest else { return Ok(()) };
        for above in Path::new(path).ancestors().filter_map(Path::to_str) {
            let is_new = above == path || !known.entries.contains_key(above);
            if let Some(entry) = now.entries.get(above).filter(|_| is_new) {
                known.entries.insert(above.to_owned(), entry.clone());
            }
        }
        if let Some(bytes) = self.sandbox.get(path, KEPT_BYTES).await? {
            {
                log.keep_bytes(bytes);
            };
        }
        Ok(())
    }

    /// Copies of the regular files that match one of `paths`, as they are now.
    /// Names that are no UTF-8 or have a backslash are given as a manifest writes them.
    ///
    /// # Errors
    /// Why they cannot be copied, in words.
    pub(crate) async fn copies(
        &self,
        paths: &[Glob],
        log: &Log<'_>,
    ) -> Result<Result<Vec<NewFile>, String>, SandboxError> {
        let manifest = self.sandbox.manifest().await?;
        let wanted = |path: &str, entry: &Entry| {
            entry.kind == EntryKind::File && paths.iter().any(|glob| glob.matches(path))
        };
        let entries = manifest.entries.into_iter().filter(|(path, entry)| wanted(path, entry));
        let entries: Vec<(String, Entry)> = entries.collect();
        if entries.iter().map(|(_, entry)| entry.size).sum::<u64>() > COPIED_BYTES {
            let name = &self.name;
            return Ok(Err(format!(
                "the files to be copied from sandbox `{name}` have more than {} MiB",
                COPIED_BYTES >> 20
            )));
        }
        let mut copies = Vec::new();
        for (path, entry) in entries {
            let at_hand = entry.digest.and_then(|digest| log.blob(digest));
            let bytes = match at_hand {
                Some(bytes) => Some(bytes),
                None => self.sandbox.get(&path, COPIED_BYTES).await?,
            };
            copies.extend(bytes.map(|bytes| NewFile { path, bytes, mode: entry.mode }));
        }
        Ok(Ok(copies))
    }

    /// Lists processes and services.
    pub(crate) async fn list(&mut self, log: &mut Log<'_>) -> Result<(), SandboxError> {
        self.services = self.sandbox.services().await?;
        log.push(Act::Listed {
            sandbox: self.name.clone(),
            processes: self.sandbox.processes().await?,
            services: self.services.clone(),
        });
        Ok(())
    }

    /// Logs each command in the background that runs, or of which something is new.
    pub(crate) async fn note_background(&self, log: &mut Log<'_>) -> Result<(), SandboxError> {
        let Ok(background) = self.sandbox.background() else { return Ok(()) };
        let open = |running: &Running| running.news || running.status.is_none();
        for Running { number, argv, .. } in background.list().into_iter().filter(open) {
            let heard = background.poll(number, 0).await?;
            log.push(Act::Backgrounded {
                sandbox: self.name.clone(),
                number,
                argv,
                status: heard.status,
                output: tool::cut(&String::from_utf8_lossy(&heard.output), LOGGED_CHARACTERS),
                dropped_bytes: heard.output_bytes - heard.output.len() as u64,
            });
        }
        Ok(())
    }

    /// Lists processes and services if a service has ended since the last list.
    pub(crate) async fn list_if_a_service_ended(
        &mut self,
        log: &mut Log<'_>,
    ) -> Result<(), SandboxError> {
        let ended = |services: &[Service]| {
            services.iter().filter(|service| service.status.is_some()).count()
        };
        if ended(&self.sandbox.services().await?) > ended(&self.services) {
            self.list(log).await?;
        }
        Ok(())
    }

    pub(crate) fn log_exec(
        &self,
        log: &mut Log<'_>,
        by: Executor,
        argv: Vec<String>,
        captured: &Captured,
    ) {
        log.push(executed(&self.name, by, argv, captured));
    }
}

fn is_kept(entry: &Entry) -> bool {
    entry.kind == EntryKind::File && entry.size <= KEPT_BYTES
}

/// The event of a command that the harness ran.
pub(crate) fn executed(sandbox: &str, by: Executor, argv: Vec<String>, captured: &Captured) -> Act {
    let output = [captured.stdout.as_slice(), captured.stderr.as_slice()].concat();
    Act::Executed {
        sandbox: sandbox.to_owned(),
        by,
        argv,
        status: captured.status,
        output: tool::cut(&String::from_utf8_lossy(&output), LOGGED_CHARACTERS),
    }
}
