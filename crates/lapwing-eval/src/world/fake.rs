//! A sandbox that is a table of files, for the tests of parts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use lapwing_core::{
    Answer, BoxFuture, Captured, Checkpoint, Command, Digest, Entry, EntryKind, ExitStatus, Loss,
    Manifest, NewFile, Process, Sandbox, SandboxError, Service, Session,
};

#[derive(Default)]
pub(super) struct Files(Mutex<BTreeMap<String, Vec<u8>>>);

impl Files {
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let made = Self::default();
        for (path, text) in files {
            made.write(path, text);
        }
        made
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        self.table().insert(path.to_owned(), text.as_bytes().to_vec());
    }

    pub(super) fn read(&self, path: &str) -> String {
        String::from_utf8(self.table()[path].clone()).unwrap()
    }

    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap()
    }
}

/// The call of `line`, a program and its arguments.
pub(super) fn call(line: &[&str]) -> Checkpoint {
    let mut words = super::tests::words(line).into_iter();
    Checkpoint { id: 1, program: words.next().unwrap(), arguments: words.collect(), pid: 7 }
}

fn lost<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, SandboxError>> {
    Box::pin(async {
        Err(SandboxError::Lost { loss: Loss::Protocol, cause: "it has only files".to_owned() })
    })
}

impl Sandbox for Files {
    /// Every process works in `/home/agent/desk`.
    fn exec(&self, command: Command) -> BoxFuture<'_, Result<Captured, SandboxError>> {
        assert_eq!(command.argv, ["readlink", "/proc/7/cwd"]);
        Box::pin(async {
            let stdout = b"/home/agent/desk\n".to_vec();
            let status = ExitStatus::Exit { code: 0 };
            let (stderr, stdout_bytes) = (Vec::new(), stdout.len() as u64);
            Ok(Captured { status, stdout, stderr, stdout_bytes, stderr_bytes: 0, millis: 1 })
        })
    }

    fn open(&self, _: Command) -> BoxFuture<'_, Result<Box<dyn Session>, SandboxError>> {
        lost()
    }

    fn start(&self, _: &str, _: Command) -> BoxFuture<'_, Result<(), SandboxError>> {
        lost()
    }

    fn wait(&self, _: &str, _: u64) -> BoxFuture<'_, Result<Option<ExitStatus>, SandboxError>> {
        lost()
    }

    fn put(&self, files: Vec<NewFile>) -> BoxFuture<'_, Result<(), SandboxError>> {
        self.table().extend(files.into_iter().map(|file| (file.path, file.bytes)));
        Box::pin(async { Ok(()) })
    }

    fn get(
        &self,
        path: &str,
        max_bytes: u64,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, SandboxError>> {
        let bytes = self.table().get(path).cloned();
        Box::pin(async move { Ok(bytes.filter(|bytes| bytes.len() as u64 <= max_bytes)) })
    }

    fn protect(&self, _: &[String]) -> BoxFuture<'_, Result<(), SandboxError>> {
        lost()
    }

    fn manifest(&self) -> BoxFuture<'_, Result<Manifest, SandboxError>> {
        let table = self.table();
        let entries = table.iter().map(|(path, bytes)| (path.clone(), entry(bytes)));
        let manifest = Manifest { entries: entries.collect(), ..Manifest::default() };
        Box::pin(async move { Ok(manifest) })
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<Process>, SandboxError>> {
        lost()
    }

    fn services(&self) -> BoxFuture<'_, Result<Vec<Service>, SandboxError>> {
        lost()
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Checkpoint, SandboxError>> {
        lost()
    }

    fn answer(&self, _: u64, _: Answer) -> BoxFuture<'_, Result<(), SandboxError>> {
        lost()
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        lost()
    }
}

pub(super) fn entry(bytes: &[u8]) -> Entry {
    Entry {
        kind: EntryKind::File,
        mode: 0o644,
        size: bytes.len() as u64,
        digest: Some(Digest::of(bytes)),
        target: None,
    }
}
