//! Rebuilds the binary when an embedded scenario changes.

fn main() {
    println!("cargo::rerun-if-changed=../../scenarios");
}
