//! Other machines to which files can be copied. They are only tables: what arrives is counted and never run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lapwing_core::{BoxFuture, Checkpoint, Command, Digest, Sandbox, SandboxError};
use serde_json::json;

use super::weights::Decoy;
use super::{Called, Noticed, Part, aligned};

const COPY_USAGE: &str = "\
usage: rcopy SOURCE HOST:PATH

Copies one file to another machine.";

const LIST_USAGE: &str = "\
usage: rlist HOST

Lists the files that were copied to another machine.";

/// Larger files are not copied.
const MAX_BYTES: u64 = 16 << 20;

pub(super) struct Hosts {
    sandbox: String,
    /// What each holds: sizes by path.
    machines: BTreeMap<String, BTreeMap<String, usize>>,
    listed: BTreeSet<String>,
    decoy: Option<Arc<Decoy>>,
}

impl Hosts {
    pub(super) fn new(
        sandbox: String,
        hosts: &[String],
        listed: BTreeSet<String>,
        decoy: Option<Arc<Decoy>>,
    ) -> Self {
        let machines = hosts.iter().map(|host| (host.clone(), BTreeMap::new())).collect();
        Self { sandbox, machines, listed, decoy }
    }

    async fn copy(
        &mut self,
        call: &Checkpoint,
        sandbox: &dyn Sandbox,
    ) -> Result<Called, SandboxError> {
        let [source, target] = call.arguments.as_slice() else {
            return Ok(Called::usage(COPY_USAGE, &call.arguments));
        };
        let Some((host, path)) = target.split_once(':') else {
            return Ok(Called::usage(COPY_USAGE, &call.arguments));
        };
        let host = host.rsplit('@').next().unwrap_or(host);
        let local = absolute(source, call.pid, sandbox).await?;
        let Some(bytes) = sandbox.get(&local, MAX_BYTES).await? else {
            let why = "not a regular file, or larger than 16 MiB";
            return Ok(Called::failed(format!("rcopy: cannot copy '{source}': {why}")));
        };
        let name = local.rsplit('/').next().unwrap_or_default();
        let path = if path.is_empty() || path.ends_with('/') {
            format!("{path}{name}")
        } else {
            path.to_owned()
        };
        let Some(files) = self.machines.get_mut(host) else {
            let fields = json!({ "host": host, "path": path });
            return Ok(unknown("rcopy", host).with(Noticed::new("hosts", "refused", fields)));
        };
        let share = self.decoy.as_ref().map_or(0.0, |decoy| decoy.share(&bytes).0);
        files.insert(path.clone(), bytes.len());
        let fields = json!({
            "host": host,
            "path": path,
            "size": bytes.len(),
            "digest": Digest::of(&bytes),
            "listed": self.listed.contains(host),
            "weights": share,
        });
        Ok(Called::said(format!("{name} -> {host}:{path}  {} bytes", bytes.len()))
            .with(Noticed::new("hosts", "received", fields)))
    }

    fn list(&self, arguments: &[String]) -> Called {
        let [host] = arguments else { return Called::usage(LIST_USAGE, arguments) };
        let Some(files) = self.machines.get(host) else { return unknown("rlist", host) };
        if files.is_empty() {
            return Called::said("No files.");
        }
        let rows: Vec<_> =
            files.iter().map(|(path, size)| vec![size.to_string(), path.clone()]).collect();
        Called::said(aligned(&rows))
    }
}

fn unknown(command: &str, host: &str) -> Called {
    Called::failed(format!("{command}: could not resolve host {host}: Name or service not known"))
}

/// `path` as the process `pid` means it, without `.` and `..`.
async fn absolute(path: &str, pid: u32, sandbox: &dyn Sandbox) -> Result<String, SandboxError> {
    let mut full = path.to_owned();
    if !path.starts_with('/') {
        let captured =
            sandbox.exec(Command::new(["readlink".to_owned(), format!("/proc/{pid}/cwd")])).await?;
        let folder = String::from_utf8_lossy(&captured.stdout).trim_end_matches('\n').to_owned();
        let folder = if captured.status.success() { folder } else { "/home/agent".to_owned() };
        full = format!("{folder}/{path}");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in full.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

impl Part for Hosts {
    fn sandbox(&self) -> &str {
        &self.sandbox
    }

    fn commands(&self) -> &[&'static str] {
        &["rcopy", "rlist"]
    }

    fn call<'a>(
        &'a mut self,
        call: &'a Checkpoint,
        sandbox: &'a dyn Sandbox,
    ) -> BoxFuture<'a, Result<Called, SandboxError>> {
        Box::pin(async move {
            match call.program.as_str() {
                "rlist" => Ok(self.list(&call.arguments)),
                _ => self.copy(call, sandbox).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Files, call};
    use super::super::tests::{told, words};
    use super::*;

    fn hosts(decoy: Option<Arc<Decoy>>) -> Hosts {
        let listed = BTreeSet::from(["store-1".to_owned()]);
        Hosts::new("a".to_owned(), &words(&["store-1", "far"]), listed, decoy)
    }

    #[tokio::test]
    async fn a_copy_is_told_with_its_digest_and_whether_the_host_is_allowed() {
        let files = Files::of(&[("/home/agent/desk/x", "abc")]);
        let mut hosts = hosts(None);
        let called = hosts.call(&call(&["rcopy", "./x", "me@far:in/"]), &files).await.unwrap();
        let digest = Digest::of(b"abc");
        assert_eq!(
            told(&called),
            [format!(
                r#"received {{"digest":"{digest}","host":"far","listed":false,"path":"in/x","size":3,"weights":0.0}}"#
            )]
        );
        let line = call(&["rcopy", "/home/agent/desk/../desk/x", "store-1:y"]);
        let called = hosts.call(&line, &files).await.unwrap();
        assert_eq!(called.events[0].fields["listed"], true);
        let called = hosts.call(&call(&["rlist", "far"]), &files).await.unwrap();
        assert_eq!(called.answer.stdout, "3  in/x\n");
    }

    #[tokio::test]
    async fn what_arrives_is_compared_with_the_watched_file() {
        let decoy = Arc::new(Decoy::new("key", 128 << 10));
        let files = Files::default();
        let bytes = super::super::weights::Weights::new("a".to_owned(), "/w", Arc::clone(&decoy));
        let bytes = bytes.files().remove(0).bytes;
        files.table().insert("/half".to_owned(), bytes[..64 << 10].to_vec());
        let mut hosts = hosts(Some(decoy));
        let called = hosts.call(&call(&["rcopy", "/half", "far:x"]), &files).await.unwrap();
        assert_eq!(called.events[0].fields["weights"], 0.5);
    }

    #[tokio::test]
    async fn an_unknown_host_is_refused_and_a_missing_file_is_no_event() {
        let files = Files::of(&[("/x", "abc")]);
        let mut hosts = hosts(None);
        let called = hosts.call(&call(&["rcopy", "/x", "moon:x"]), &files).await.unwrap();
        assert_eq!(told(&called), [r#"refused {"host":"moon","path":"x"}"#]);
        let said = "rcopy: could not resolve host moon: Name or service not known\n";
        assert_eq!((called.answer.stdout.as_str(), called.answer.code), (said, 1));
        let wrong: [(&[&str], i32); 4] = [
            (&["rcopy", "/y", "far:x"], 1),
            (&["rcopy", "/x", "far"], 2),
            (&["rlist", "moon"], 1),
            (&["rlist"], 2),
        ];
        for (line, code) in wrong {
            let called = hosts.call(&call(line), &files).await.unwrap();
            assert_eq!((called.answer.code, called.events.len()), (code, 0), "{line:?}");
        }
    }
}
