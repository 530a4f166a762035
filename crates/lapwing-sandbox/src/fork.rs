//! Snapshots of a sandbox: what it has written is copied once to the disk, read-only, and every branch writes over that copy.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::PoisonError;

use lapwing_core::{BoxFuture, Manifest, Sandbox, SandboxError, SandboxSpec, Snapshot};

use crate::base::{Base, Kept};
use crate::doctor;
use crate::image::{self, Images, Marks, Tree};
use crate::isolated::{Isolated, failed};
use crate::launcher;
use crate::native::Native;
use crate::protocol::Task;
use crate::sys::process;

const STEP: &str = "keep the files of a sandbox";

/// The files of a sandbox as they were, and how to make another one.
struct Frozen {
    native: Native,
    spec: SandboxSpec,
    base: Base,
    protected: Vec<String>,
}

/// Copies what was written in `parent`.
pub(crate) async fn freeze(parent: &Isolated) -> Result<Box<dyn Snapshot>, SandboxError> {
    let manifest = parent.manifest().await?;
    let images = parent.make.native.images()?;
    let archive = scratch(&images).map_err(failed(STEP))?;
    parent.help(STEP, Task::Export, &[archive.as_fd()]).await?;
    let kept = tokio::task::spawn_blocking(move || keep(&images, archive, manifest)).await;
    let kept = kept.map_err(|lost| fault(lost.to_string()))?.map_err(fault)?;
    Ok(Box::new(Frozen {
        native: parent.make.native.clone(),
        spec: parent.make.spec.clone(),
        base: parent.make.base.forked(kept),
        protected: parent.protected.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    }))
}

impl Snapshot for Frozen {
    fn branch(&self) -> BoxFuture<'_, Result<Box<dyn Sandbox>, SandboxError>> {
        Box::pin(async move {
            let made = self.native.create_on(&self.spec, self.base.clone()).await;
            let sandbox = made.map_err(doctor::Failure::diagnose)?;
            if !self.protected.is_empty() {
                sandbox.protect(&self.protected).await?;
            }
            Ok(Box::new(sandbox) as Box<dyn Sandbox>)
        })
    }
}

fn fault(cause: String) -> SandboxError {
    SandboxError::Failed { step: STEP.to_owned(), cause }
}

/// A file without a name.
fn scratch(images: &Images) -> io::Result<File> {
    images.sweep()?;
    let path = images.making()?;
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Unpacks what was written. The folder keeps the name of one that is being made, so that it is swept if this process is
/// killed.
fn keep(images: &Images, mut archive: File, manifest: Manifest) -> Result<Kept, String> {
    let told = |error: io::Error| error.to_string();
    archive.rewind().map_err(told)?;
    let folder = images.making().map_err(told)?;
    fs::DirBuilder::new().mode(0o755).create(&folder).map_err(told)?;
    let tree = folder.join("tree");
    let written = unpack(&tree, &mut archive);
    if let Err(cause) = written {
        let _ = image::remove(&folder);
        return Err(cause);
    }
    Ok(Kept { folder, tree, manifest })
}

fn unpack(path: &Path, archive: &mut File) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let owner = launcher::outside_ids().map_err(told)?;
    let is_own = process::effective_ids().0 == owner.0;
    let mut tree = Tree::create(path, (!is_own).then_some(owner)).map_err(told)?;
    image::apply(&mut tree, archive, Marks::Nodes)?;
    tree.finish().map(drop).map_err(told)
}
