//! The provider: starts the launcher and asks it for sandboxes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as HostCommand, Stdio};
use std::sync::Arc;
use std::{io, thread};

use lapwing_core::{
    BoxFuture, Enforced, Enforcement, Network, Provider, Sandbox, SandboxError, SandboxSpec,
};
use tokio::io::Interest;

use crate::cgroup::{Group, Groups};
use crate::channel::{self, Channel};
use crate::doctor;
use crate::isolated::Isolated;
use crate::launcher;
use crate::protocol::{Creation, Event, Order, Reply, SET_UP};
use crate::sys::process;
use crate::sys::socket::{self, Wait};

/// Isolation by Linux namespaces, without any program or privilege beside this binary.
#[derive(Clone)]
pub struct Native {
    launcher: Arc<OwnedFd>,
    groups: Option<Arc<Groups>>,
}

/// Names the folder of control groups, where there is one for sandboxes.
const CGROUP: &str = "LAPWING_CGROUP";

impl Native {
    /// Starts the launcher. Call it in the main thread, before an async runtime or other threads exist and before
    /// keys are read: the launcher ends with the thread that started it. The program's `main` must begin with
    /// [`crate::entry`]. Also raises this process's limit on open files as far as it goes.
    ///
    /// The environment variable `LAPWING_CGROUP` names a control group, without processes and writable, below which the
    /// kernel shall hold the memory of every sandbox.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] if the control group cannot be used, [`SandboxError::Failed`] if the launcher cannot be
    /// started.
    pub fn start() -> Result<Self, SandboxError> {
        let groups = std::env::var_os(CGROUP).map(|folder| {
            Groups::open(Path::new(&folder)).map_err(|error| SandboxError::Unavailable {
                reason: format!("{CGROUP} names no control group that can be used ({error})"),
                mend: format!("name one with the memory controller that is writable and has no processes, or unset {CGROUP}"),
            })
        });
        let groups = groups.transpose()?;
        let launcher = Self::launch().map_err(|error| SandboxError::Failed {
            step: "start the sandbox launcher".to_owned(),
            cause: error.to_string(),
        })?;
        Ok(Self { launcher: Arc::new(launcher), groups })
    }

    fn launch() -> io::Result<OwnedFd> {
        process::raise_descriptor_limit()?;
        let (near, far) = socket::pair()?;
        let mut child = HostCommand::new("/proc/self/exe")
            .arg0(launcher::NAME)
            .env_clear()
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Takes the launcher's exit status when it ends, so that it does not stay as a zombie.
        thread::spawn(move || child.wait());
        Ok(near)
    }

    async fn send(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let try_send =
            |launcher: &OwnedFd| channel::send(launcher.as_fd(), order, fds, Wait::Never);
        match try_send(&self.launcher) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A descriptor of its own for each waiting task, which is what the runtime can tell apart.
                let launcher = socket::watch(self.launcher.try_clone()?, Interest::WRITABLE)?;
                launcher.async_io(Interest::WRITABLE, try_send).await
            }
            result => result,
        }
    }

    pub(crate) async fn create_isolated(
        &self,
        spec: &SandboxSpec,
    ) -> Result<Isolated, doctor::Failure> {
        let creation = Creation {
            hostname: spec.hostname.clone(),
            programs: spec.programs.clone(),
            limits: spec.limits.clone(),
            grouped: self.groups.is_some(),
            network: spec.network,
            observe: spec.observe,
            names: spec.names.clone(),
        };
        let (near, far) = socket::pair()?;
        let group = self.groups.as_ref().map(|groups| groups.take(spec.limits.memory_bytes));
        let group = group.transpose()?;
        let entry = group.as_ref().map(Group::entry).transpose()?;
        let fds: Vec<BorrowedFd<'_>> =
            [far.as_fd()].into_iter().chain(entry.iter().map(AsFd::as_fd)).collect();
        self.send(&Order::Sandbox(creation), &fds).await?;
        drop(far);
        let channel = Channel::new(near)?;
        let pidfd = self.await_birth(&channel).await?;
        let home = Arc::clone(&self.launcher);
        Ok(Isolated::new(channel, pidfd, group, home)?)
    }

    /// The pidfd of what was ordered, once it is set up.
    async fn await_birth(&self, channel: &Channel) -> Result<OwnedFd, doctor::Failure> {
        let pidfd = match channel.receive::<Event>().await? {
            Some((Event::Born, fds)) => fds.into_iter().next().ok_or(doctor::Failure::Vanished)?,
            Some((event, _)) => return Err(doctor::Failure::from_event(event)),
            None => return Err(doctor::Failure::Vanished),
        };
        match channel.receive::<Event>().await? {
            Some((Event::Reply { id: SET_UP, reply: Reply::Done }, _)) => Ok(pidfd),
            Some((event, _)) => Err(doctor::Failure::from_event(event)),
            None => Err(doctor::Failure::Vanished),
        }
    }

    /// A launcher whose sandboxes are on one network. It ends with the last of them and of this value.
    async fn hold_network(&self, outside: Network) -> Result<Self, doctor::Failure> {
        let (near, far) = socket::pair()?;
        self.send(&Order::Network(outside), &[far.as_fd()]).await?;
        drop(far);
        let channel = Channel::new(near.try_clone()?)?;
        self.await_birth(&channel).await?;
        Ok(Self { launcher: Arc::new(near), groups: self.groups.clone() })
    }
}

impl Provider for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn enforced(&self) -> Enforced {
        Enforced {
            memory: self.groups.as_ref().map_or(Enforcement::Watchdog, |_| Enforcement::Kernel),
            disk: Enforcement::Kernel,
            files: Enforcement::Kernel,
            processes: Enforcement::Kernel,
            processors: Enforcement::None,
        }
    }

    fn create(&self, spec: SandboxSpec) -> BoxFuture<'_, Result<Box<dyn Sandbox>, SandboxError>> {
        Box::pin(async move {
            let isolated = self.create_isolated(&spec).await.map_err(doctor::Failure::diagnose)?;
            Ok(Box::new(isolated) as Box<dyn Sandbox>)
        })
    }

    fn beside(&self, outside: Network) -> BoxFuture<'_, Result<Arc<dyn Provider>, SandboxError>> {
        Box::pin(async move {
            let network = self.hold_network(outside).await.map_err(doctor::Failure::diagnose)?;
            Ok(Arc::new(network) as Arc<dyn Provider>)
        })
    }
}
