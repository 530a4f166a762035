//! Programs run as a user without privileges, when we have them: isolation must hold for both.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::ci::finish;

const USER: &str = "lapwing-test";

/// Copies of programs that the user [`USER`] can run; removed in the end.
pub(crate) struct Ordinary {
    directory: PathBuf,
}

impl Ordinary {
    /// Whether we are root, so that tests have not yet run without privileges.
    pub(crate) fn is_needed() -> anyhow::Result<bool> {
        let own =
            fs::metadata("/proc/self").context("cannot read /proc/self to learn who we are")?;
        Ok(own.uid() == 0)
    }

    /// Creates the user if it is missing, and a fresh folder with copies of `programs` under the names of their
    /// targets: cargo's `name-0123456789abcdef` becomes `name`.
    pub(crate) fn new(programs: &[&Path]) -> anyhow::Result<Self> {
        let known =
            Command::new("id").arg(USER).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !known.context("cannot run id")?.success() {
            finish(Command::new("useradd").args(["--create-home", "--user-group", USER]))?;
        }
        let directory = std::env::temp_dir().join(format!("lapwing-ci-{}", std::process::id()));
        fs::create_dir(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let ordinary = Self { directory };
        fs::set_permissions(&ordinary.directory, Permissions::from_mode(0o755))?;
        for program in programs {
            let copy = ordinary.directory.join(target_name(program));
            fs::copy(program, &copy).with_context(|| {
                format!("cannot copy {} to {}", program.display(), copy.display())
            })?;
            fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
        }
        Ok(ordinary)
    }

    /// A command that runs the copy of `program` as the user, in its home and with nothing of our environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let home = format!("/home/{USER}");
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups"])
            .arg(self.directory.join(program))
            .current_dir(&home)
            .env_clear()
            .env("HOME", &home)
            .env("USER", USER)
            .env("LANG", "C.UTF-8")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        fs::remove_dir_all(&self.directory).ok();
    }
}

fn target_name(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match name.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        Some(_) | None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_named_after_its_target() {
        for (path, name) in [
            ("/t/deps/isolation-0123456789abcdef", "isolation"),
            ("/t/debug/lapwing", "lapwing"),
            ("/t/debug/lapwing-sandbox", "lapwing-sandbox"),
        ] {
            assert_eq!(target_name(Path::new(path)), name);
        }
    }
}
