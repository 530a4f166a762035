//! Builds `client/main.rs`, which the library embeds, for the same target.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=client/main.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let output = PathBuf::from(variable("OUT_DIR")).join("client");
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition=2024", "--crate-name=client", "--crate-type=bin", "client/main.rs"]);
    compiler.args([
        "-Cpanic=abort",
        "-Copt-level=s",
        "-Crelocation-model=static",
        "-Cstrip=symbols",
    ]);
    compiler.args(["-Clink-arg=-nostdlib", "-Clink-arg=-nostartfiles", "-Clink-arg=-static"]);
    compiler.arg("-Clink-arg=-Wl,--build-id=none");
    compiler.args(["--remap-path-prefix", &format!("{}=.", variable("CARGO_MANIFEST_DIR"))]);
    compiler.args(["--target", &variable("TARGET"), "-o"]).arg(&output);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    match compiler.status() {
        Ok(status) if status.success() => (),
        result => println!("cargo::error=client/main.rs cannot be compiled: {result:?}"),
    }
}
