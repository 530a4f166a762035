//! The provider: starts the launcher and asks it for sandboxes.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as HostCommand, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use lapwing_core::{
    BoxFuture, Digest, Enforced, Enforcement, Network, Provider, RootFiles, Sandbox, SandboxError,
    SandboxSpec,
};
use tokio::io::Interest;

use crate::base::Base;
use crate::cgroup::{self, ControlGroups, Groups};
use crate::channel::{self, Channel};
use crate::doctor;
use crate::image::{Images, Root};
use crate::isolated::{Isolated, Make};
use crate::launcher;
use crate::protocol::{Carried, Creation, Event, Grouped, Order, Reply, SET_UP};
use crate::sys::process;
use crate::sys::socket::{self, Wait};
use crate::verdict::Verdict;

/// Isolation by Linux namespaces, without any program or privilege beside this binary.
#[derive(Clone)]
pub struct Native {
    launcher: Arc<OwnedFd>,
    groups: Option<Arc<Groups>>,
    unused_groups: Vec<String>,
    /// The cache of root file systems, where it is not the user's.
    images: Option<Images>,
    /// Root file systems that are ready.
    roots: Arc<Mutex<HashMap<Digest, Root>>>,
}

/// Names the folder of control groups for sandboxes, or says `none`.
const CGROUP: &str = "LAPWING_CGROUP";

impl Native {
    /// Starts the launcher, with the control groups that the environment variable `LAPWING_CGROUP` asks for: those below the
    /// folder that it names, with `none` none, else those that can be had. See [`Native::start_with`].
    ///
    /// # Errors
    /// As [`Native::start_with`].
    pub fn start() -> Result<Self, SandboxError> {
        Self::start_with(match std::env::var_os(CGROUP) {
            None => ControlGroups::Detected,
            Some(word) if word == "none" => ControlGroups::None,
            Some(folder) => ControlGroups::In(folder.into()),
        })
    }

    /// Starts the launcher. Call it in the main thread, before an async runtime or other threads exist and before
    /// keys are read: the launcher ends with the thread that started it. The program's `main` must begin with
    /// [`crate::entry`]. Also raises this process's limit on open files as far as it goes.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] if the control group that is named cannot be used, [`SandboxError::Failed`] if the
    /// launcher cannot be started.
    pub fn start_with(groups: ControlGroups) -> Result<Self, SandboxError> {
        let (groups, unused_groups) = match groups {
            ControlGroups::Detected => cgroup::detect(),
            ControlGroups::None => (None, Vec::new()),
            ControlGroups::In(folder) => {
                let groups = Groups::open(&folder).map_err(|error| SandboxError::Unavailable {
                    reason: format!("{CGROUP} names no control group that can be used ({error})"),
                    mend: format!("name one with the memory controller that is writable and has no processes, or unset {CGROUP}"),
                })?;
                (Some(groups), Vec::new())
            }
        };
        let launcher = Self::launch().map_err(|error| SandboxError::Failed {
            step: "start the sandbox launcher".to_owned(),
            cause: error.to_string(),
        })?;
        Ok(Self {
            launcher: Arc::new(launcher),
            groups,
            unused_groups,
            images: None,
            roots: Arc::default(),
        })
    }

    /// The same with another cache of root file systems than the user's.
    #[must_use]
    pub fn with_images(self, images: Images) -> Self {
        Self { images: Some(images), roots: Arc::default(), ..self }
    }

    pub(crate) fn images(&self) -> Result<Images, SandboxError> {
        self.images.clone().map_or_else(Images::open, Ok)
    }

    /// Control groups that were found and cannot be used, in words.
    pub(crate) fn unused_groups(&self) -> &[String] {
        &self.unused_groups
    }

    /// Folders of the control groups in use.
    pub(crate) fn group_folders(&self) -> Vec<&Path> {
        self.groups.iter().flat_map(|groups| groups.folders()).collect()
    }

    fn holds(&self) -> Grouped {
        self.groups.as_ref().map_or(Grouped::default(), |groups| groups.holds())
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

    /// What a sandbox of this make is built on.
    fn base(&self, spec: &SandboxSpec) -> Result<Base, doctor::Failure> {
        let Some(digest) = spec.root else { return Ok(Base::default()) };
        let roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || io::Error::other(format!("the root file system {digest} is not ready"));
        Ok(roots.get(&digest).cloned().map(Base::of).ok_or_else(unknown)?)
    }

    pub(crate) async fn create_isolated(
        &self,
        spec: &SandboxSpec,
    ) -> Result<Isolated, doctor::Failure> {
        self.create_on(spec, self.base(spec)?).await
    }

    pub(crate) async fn create_on(
        &self,
        spec: &SandboxSpec,
        base: Base,
    ) -> Result<Isolated, doctor::Failure> {
        let creation = Creation {
            hostname: spec.hostname.clone(),
            programs: spec.programs.clone(),
            limits: spec.limits.clone(),
            grouped: self.holds(),
            layers: base.layers(),
            network: spec.network,
            observe: spec.observe,
            names: spec.names.clone(),
        };
        let (near, far) = socket::pair()?;
        let group = self.groups.as_ref().map(|groups| groups.take(&spec.limits)).transpose()?;
        let files = group.as_ref().map(|group| group.files(&spec.limits)).transpose()?;
        let files = files.unwrap_or_default();
        let verdict = Verdict::file()?;
        let carried = files.iter().map(|(kind, file)| (*kind, file.as_fd()));
        let carried = carried.chain([(Carried::Verdict, verdict.as_fd())]);
        let (carried, fds): (Vec<Carried>, Vec<BorrowedFd<'_>>) = carried.unzip();
        let fds = [&[far.as_fd()], fds.as_slice()].concat();
        self.send(&Order::Sandbox { creation: Box::new(creation), carried }, &fds).await?;
        drop(far);
        let channel = Channel::new(near)?;
        let pidfd = self.await_birth(&channel).await?;
        // It holds the way to whoever made the sandbox, without whom it ends.
        let make = Make { native: self.clone(), spec: spec.clone(), base };
        Ok(Isolated::new(channel, pidfd, group, verdict, make)?)
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
        Ok(Self { launcher: Arc::new(near), ..self.clone() })
    }
}

impl Provider for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn enforced(&self) -> Enforced {
        let Grouped { memory, processes: _, processors } = self.holds();
        Enforced {
            memory: if memory { Enforcement::Kernel } else { Enforcement::Watchdog },
            disk: Enforcement::Kernel,
            files: Enforcement::Kernel,
            // Also without a group, by RLIMIT_NPROC.
            processes: Enforcement::Kernel,
            processors: if processors { Enforcement::Kernel } else { Enforcement::None },
            processor_time: Enforcement::Watchdog,
        }
    }

    fn prepare(&self, path: &Path) -> BoxFuture<'_, Result<RootFiles, SandboxError>> {
        let path = path.to_owned();
        Box::pin(async move {
            let step = "prepare a root file system";
            let images = self.images()?;
            let unpacked = tokio::task::spawn_blocking(move || images.root(&path)).await;
            let root = unpacked.map_err(|lost| SandboxError::Failed {
                step: step.to_owned(),
                cause: lost.to_string(),
            })??;
            let files = RootFiles { digest: root.facts.digest, kind: root.facts.kind.clone() };
            let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
            roots.insert(files.digest, root);
            Ok(files)
        })
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
