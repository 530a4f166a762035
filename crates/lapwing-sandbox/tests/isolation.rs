//! What holds inside a sandbox and what its handle promises. Fails, and does not skip, where isolation is missing.

use std::sync::Arc;

use lapwing_core::{Captured, Command, ExitStatus, NewFile, Provider, Sandbox, SandboxSpec};
use lapwing_sandbox::Native;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

fn main() {
    lapwing_sandbox::entry();
    let arguments = Arguments::from_args();
    let native = Native::start().unwrap();
    let runtime = Arc::new(Runtime::new().unwrap());
    let mut trials = Vec::new();
    let n2 = native.clone();
    let rt = Arc::clone(&runtime);
    trials.push(Trial::test("first", move || { rt.block_on(first(n2)); Ok(()) }));
    libtest_mimic::run(&arguments, trials).exit();
}

async fn sh(sandbox: &dyn Sandbox, script: &str) -> Captured {
    sandbox.exec(Command::new(["bash", "-c", script])).await.unwrap()
}

async fn first(native: Native) {
    let spec = SandboxSpec { hostname: "box".to_owned(), programs: vec!["ask".to_owned()], ..SandboxSpec::default() };
    let sandbox = native.create(spec).await.unwrap();
    let out = sh(&*sandbox, "id; pwd; hostname; ls -la / /dev /usr/local; mount; ps aux; cat /proc/self/uid_map; cat /proc/self/status; env; awk 'BEGIN{print 5}'; ls -l /proc/1; cat /proc/1/cmdline").await;
    println!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    sandbox.put(vec![NewFile { path: "/workspace/a/b".to_owned(), bytes: b"hello".to_vec(), mode: 0o640 }]).await.unwrap();
    println!("{:?}", sandbox.get("/workspace/a/b", 10).await.unwrap());
    println!("{:?}", sandbox.processes().await.unwrap());
    let m = sandbox.manifest().await.unwrap();
    println!("{:#?}", m.entries.keys().collect::<Vec<_>>());
    let mut c = Command::new(["sleep", "100"]); c.limit_ms = 100;
    println!("{:?}", sandbox.exec(c).await.unwrap());
    let (o, a) = tokio::join!(sh(&*sandbox, "ask a 'b c'; echo $?"), async {
        let c = sandbox.checkpoint().await.unwrap();
        println!("{c:?}");
        sandbox.answer(c.id, lapwing_core::Answer { stdout: "hi\n".to_owned(), code: 7 }).await
    });
    a.unwrap();
    println!("{o:?}");
    sandbox.protect(&["/workspace/a/b".to_owned()]).await.unwrap();
    println!("{:?}", sh(&*sandbox, "cd /workspace/a; echo x > b; rm -f b; mv b c; chmod 777 b; mv ../a ../d; mv /workspace /w; umount b; cat b").await);
    sandbox.destroy().await.unwrap();
    let _ = ExitStatus::TimeLimit;
}
