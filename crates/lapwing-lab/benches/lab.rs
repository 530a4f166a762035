//! Training and generation of two small networks, beside PyTorch in the same run where Python has it. `docs/lab.md` has the figures
//! of one machine.
//!
//! Every candidate runs in a process of its own, one after the other, in several rounds; ratios are to PyTorch eager on as many threads
//! in the same round: of tokens a second, and of tokens a second of processor time, which other processes on a shared machine disturb
//! less. `LAPWING_PYTHON` names the Python to use; arguments choose candidates by their first words, works, and `rounds=N`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[path = "lab/ours.rs"]
mod ours;

use std::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/lab/reference.py");
const CANDIDATES: [(&str, &str); 5] =
    [("eager", "2"), ("compiled", "2"), ("ours", "2"), ("eager", "1"), ("ours", "1")];
const WORKS: [&str; 4] = ["train A", "train B", "generate A", "generate B"];

/// Tokens a second, tokens a second of processor time, peak memory in MB.
type Figures = [f64; 3];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    if let [worker, work, threads] = arguments.as_slice()
        && worker == "worker"
    {
        let [speed, effort, memory] = ours::measure(work, threads.parse().unwrap());
        println!("{speed} {effort} {memory}");
        return;
    }
    let rounds = arguments.iter().find_map(|one| one.strip_prefix("rounds=")).unwrap_or("3");
    let wanted = |name: &str, all: &[&str]| {
        let asked: Vec<_> = arguments.iter().filter(|one| all.contains(&one.as_str())).collect();
        asked.is_empty() || asked.iter().any(|one| *one == name)
    };
    let python = std::env::var("LAPWING_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    let has_torch = has_torch.is_ok_and(|output| output.status.success());
    if !has_torch {
        println!(
            "{python} has no PyTorch, so nothing is measured beside it; LAPWING_PYTHON names another Python"
        );
    }
    let candidates: Vec<_> = CANDIDATES
        .into_iter()
        .filter(|(name, _)| wanted(name, &["eager", "compiled", "ours"]))
        .filter(|(name, _)| has_torch || *name == "ours")
        .collect();
    println!(
        "{:11} {:18} {:>9} {:>20} {:>12} {:>20} {:>6}",
        "work", "candidate", "tokens/s", "ratio", "a cpu second", "ratio", "MB"
    );
    for work in WORKS.into_iter().filter(|work| wanted(work, &WORKS)) {
        let mut rows: Vec<Vec<Figures>> = vec![Vec::new(); candidates.len()];
        for _ in 0..rounds.parse().unwrap() {
            for (row, (name, threads)) in rows.iter_mut().zip(&candidates) {
                row.push(run(&python, name, work, threads));
            }
        }
        for (row, (name, threads)) in rows.iter().zip(&candidates) {
            let eager = candidates.iter().position(|one| *one == ("eager", threads));
            let ratio = |which: usize| {
                eager.map_or_else(String::new, |eager| {
                    let pairs = row.iter().zip(&rows[eager]);
                    shown(
                        &pairs.map(|(own, theirs)| own[which] / theirs[which]).collect::<Vec<_>>(),
                    )
                })
            };
            let middle = |which: usize| median(row.iter().map(|figures| figures[which]));
            println!(
                "{work:11} {:18} {:9.0} {:>20} {:12.0} {:>20} {:6.0}",
                format!("{name}, {threads} threads"),
                middle(0),
                ratio(0),
                middle(1),
                ratio(1),
                middle(2)
            );
        }
    }
}

/// Runs one candidate in its own process.
fn run(python: &str, candidate: &str, work: &str, threads: &str) -> Figures {
    let own = std::env::current_exe().unwrap();
    let output = match candidate {
        "ours" => Command::new(own).args(["worker", work, threads]).output(),
        _ => Command::new(python).args([SCRIPT, candidate, work, threads]).output(),
    };
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> =
        text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    figures.try_into().unwrap_or_else(|_| panic!("{candidate}: {text}{errors}"))
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Median, lowest and highest.
fn shown(ratios: &[f64]) -> String {
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} [{least:.2}-{most:.2}]", median(ratios.iter().copied()))
}
