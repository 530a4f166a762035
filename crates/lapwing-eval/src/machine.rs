//! A named sandbox of a sample: made on first use, its state taken at checkpoints.

use std::sync::Arc;

use lapwing_core::{
    Act, Captured, Change, Command, EntryKind, Executor, Manifest, NewFile, Provider, Sandbox,
    SandboxError, SandboxSpec, Service,
};
use lapwing_scenario::{Plan, SandboxPlan};

use crate::log::Log;
use crate::sample::Halt;

/// Changed files up to this size are kept with their bytes.
const KEPT_BYTES: u64 = 1 << 20;

/// Of one checkpoint, at most this many changed files are kept with their bytes; all are kept with their digests.
const KEPT_FILES: usize = 1_000;

pub(crate) struct Machine {
    name: String,
    pub(crate) sandbox: Arc<dyn Sandbox>,
    manifest: Option<Manifest>,
    services: Vec<Service>,
}

impl Machine {
    /// Creates the sandbox `name` of `plan`: files, set-up, services, read-only paths, and the first checkpoint.
    pub(crate) async fn create(
        name: &str,
        plan: &Plan,
        provider: &dyn Provider,
        log: &mut Log<'_>,
    ) -> Result<Self, Halt> {
        let Some(made_of) = plan.sandboxes.get(name) else {
            return Err(Halt::bug(format!("the plan has no sandbox `{name}`")));
        };
        let programs = plan.programs.iter().filter(|program| program.sandbox == name);
        let spec = SandboxSpec {
            hostname: made_of.hostname.clone(),
            programs: programs.map(|program| program.name.clone()).collect(),
            limits: made_of.limits.clone(),
        };
        let sandbox: Arc<dyn Sandbox> = Arc::from(provider.create(spec).await?);
        let mut machine =
            Self { name: name.to_owned(), sandbox, manifest: None, services: Vec::new() };
        machine.furnish(made_of, log).await?;
        machine.start_services(plan).await?;
        machine.sandbox.protect(&made_of.read_only).await?;
        machine.list(log).await?;
        machine.checkpoint(log).await?;
        Ok(machine)
    }

    async fn furnish(&self, made_of: &SandboxPlan, log: &mut Log<'_>) -> Result<(), Halt> {
        self.sandbox.put(made_of.files.clone()).await?;
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
    pub(crate) async fn checkpoint(&mut self, log: &mut Log<'_>) -> Result<(), Halt> {
        let manifest = self.sandbox.manifest().await?;
        let changes = match &self.manifest {
            Some(before) => before.changes_to(&manifest),
            None => Vec::new(),
        };
        self.keep_changed(&changes, log).await?;
        let listing =
            serde_json::to_vec(&manifest).map_err(|error| Halt::bug(error.to_string()))?;
        log.push(Act::Checkpointed {
            sandbox: self.name.clone(),
            manifest: log.recorder().keep(listing),
            changes,
        });
        self.manifest = Some(manifest);
        Ok(())
    }

    async fn keep_changed(
        &self,
        changes: &[Change],
        log: &mut Log<'_>,
    ) -> Result<(), SandboxError> {
        let files = changes.iter().filter(|change| {
            change.after.as_ref().is_some_and(|entry| entry.kind == EntryKind::File)
        });
        for change in files.take(KEPT_FILES) {
            if let Some(bytes) = self.sandbox.get(&change.path, KEPT_BYTES).await? {
                log.keep_file(bytes);
            }
        }
        Ok(())
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
        let output = [captured.stdout.as_slice(), captured.stderr.as_slice()].concat();
        log.push(Act::Executed {
            sandbox: self.name.clone(),
            by,
            argv,
            status: captured.status,
            output: String::from_utf8_lossy(&output).into_owned(),
        });
    }
}
