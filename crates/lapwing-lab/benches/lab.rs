//! Training and generation of two small networks, beside PyTorch in the same run where Python has it. `docs/lab.md` has the figures
//! of one machine.
//!
//! Every candidate runs in a process of its own, one after the other, in several rounds; the ratio is to PyTorch eager of the same
//! round. `LAPWING_PYTHON` names the Python to use; arguments choose candidates (`ours`, `one-thread`, `eager`, `compiled`) and
//! `rounds=N`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "lab/ours.rs"]
mod ours;

use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lab/reference.py");
const CANDIDATES: [&str; 4] = ["eager", "compiled", "ours", "one-thread"];
const WORKS: [&str; 4] = ["train A", "train B", "generate A", "generate B"];

/// Tokens a second and peak memory in MB.
type Figures = (f64, f64);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    if let [worker, work, threads] = arguments.as_slice()
        && worker == "worker"
    {
        let (speed, memory) = ours::measure(work, threads.parse().unwrap());
        println!("{speed} {memory}");
        return;
    }
    let rounds = arguments.iter().find_map(|one| one.strip_prefix("rounds=")).unwrap_or("3");
    let asked: Vec<&str> =
        CANDIDATES.into_iter().filter(|name| arguments.iter().any(|one| one == name)).collect();
    let python = std::env::var("LAPWING_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    let has_torch = has_torch.is_ok_and(|output| output.status.success());
    if !has_torch {
        println!(
            "{python} has no PyTorch, so nothing is measured beside it; LAPWING_PYTHON names another Python"
        );
    }
    let candidates: Vec<&str> = CANDIDATES
        .into_iter()
        .filter(|name| asked.is_empty() || asked.contains(name))
        .filter(|name| has_torch || matches!(*name, "ours" | "one-thread"))
        .collect();
    println!(
        "{:12} {:12} {:>10} {:>8} {:>24}",
        "work", "candidate", "tokens/s", "MB", "ratio to PyTorch eager"
    );
    for work in WORKS {
        let mut rows: Vec<Vec<Figures>> = vec![Vec::new(); candidates.len()];
        for _ in 0..rounds.parse().unwrap() {
            for (row, candidate) in rows.iter_mut().zip(&candidates) {
                row.push(run(&python, candidate, work));
            }
        }
        let eager = candidates.iter().position(|name| *name == "eager");
        for (row, candidate) in rows.iter().zip(&candidates) {
            let ratios = eager.map_or(Vec::new(), |eager| {
                row.iter().zip(&rows[eager]).map(|(own, theirs)| own.0 / theirs.0).collect()
            });
            let speed = median(row.iter().map(|figures| figures.0));
            let memory = median(row.iter().map(|figures| figures.1));
            println!("{work:12} {candidate:12} {speed:10.0} {memory:8.0} {:>24}", shown(&ratios));
        }
    }
}

/// Runs one candidate in its own process.
fn run(python: &str, candidate: &str, work: &str) -> Figures {
    let own = std::env::current_exe().unwrap();
    let output = match candidate {
        "ours" => Command::new(own).args(["worker", work, "2"]).output(),
        "one-thread" => Command::new(own).args(["worker", work, "1"]).output(),
        _ => Command::new(python).args([SCRIPT, candidate, work]).output(),
    };
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> =
        text.split_whitespace().rev().take(2).filter_map(|number| number.parse().ok()).collect();
    assert_eq!(figures.len(), 2, "{candidate}: {text}{}", String::from_utf8_lossy(&output.stderr));
    (figures[1], figures[0])
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Median, lowest and highest.
fn shown(ratios: &[f64]) -> String {
    if ratios.is_empty() {
        return "-".to_owned();
    }
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} [{least:.2}-{most:.2}]", median(ratios.iter().copied()))
}
