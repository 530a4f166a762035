//! Runs a study: every stage for every seed, each after the one it begins with, several at a time. What is there already is taken from
//! the cache, and what was finished when a run is killed is there for the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::FileError;
use crate::cell::{self, CellError, Found, Work};
use crate::claim::Figures;
use crate::study::{Grade, Study};

/// Where and how to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of this study's results.
    pub folder: PathBuf,
    /// Cells at a time, each on one thread.
    pub jobs: usize,
}

/// A stage for a seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The seed.
    pub seed: u64,
    /// The stage.
    pub stage: String,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// A cell is being computed.
    Began(Cell),
    /// It has come so far.
    Step {
        /// The cell.
        cell: Cell,
        /// Steps that are done.
        done: u64,
        /// All of them.
        of: u64,
    },
    /// A cell is there.
    Ended {
        /// The cell.
        cell: Cell,
        /// How long it took; nothing if it was there already.
        took: Option<Duration>,
        /// Cells that are there.
        done: usize,
        /// All of them.
        of: usize,
        /// About how long the others will take.
        left: Option<Duration>,
    },
}

/// What a run cannot do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A cell failed.
    #[error("stage {} with seed {}: {error}", cell.stage, cell.seed)]
    Cell {
        /// The cell.
        cell: Cell,
        /// Why.
        error: CellError,
    },
    /// It was stopped; what is finished is kept.
    #[error("stopped; what is finished is kept, and the same command goes on")]
    Stopped,
    /// Another run writes to the same folder.
    #[error("another run of this study writes to {}; wait for it, or give another --results", .0.display())]
    Locked(PathBuf),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The cells of a run: the grade's stages for its seeds and, if the probe is read, what it is fixed on.
pub fn cells(study: &Study, grade: &Grade) -> Vec<Cell> {
    let of = |seeds: &[u64], stages: &[&str]| -> Vec<Cell> {
        let stage =
            |seed: u64| stages.iter().map(move |stage| Cell { seed, stage: (*stage).to_owned() });
        seeds.iter().copied().flat_map(stage).collect()
    };
    let mut cells = of(&grade.seeds, &study.stages_of(grade.stages.as_deref()));
    if let Some(probe) = study.probe.as_ref().filter(|_| grade.probe) {
        let stages = [probe.on.clone()];
        for cell in of(&probe.development_seeds, &study.stages_of(Some(&stages))) {
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
    }
    cells
}

/// Keeps other runs out of a folder while it lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it holds the lock by being open")] File);

/// Takes the folder for one run.
///
/// # Errors
/// If another run has it, or it cannot be written.
pub fn lock(folder: &std::path::Path) -> Result<Lock, RunError> {
    std::fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(FileError::new("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::Locked(folder.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(FileError::new("lock", &path)(error).into())
        }
    }
}

/// Computes cells, or finds them.
///
/// # Errors
/// The first cell that fails ends the run after those that are being computed; so does `stop`, at once.
pub fn run(
    study: &Study,
    grade: &Grade,
    options: &Options,
    stop: &AtomicBool,
    told: &(dyn Fn(Event) + Sync),
) -> Result<BTreeMap<Cell, Found>, RunError> {
    let queue = Queue::new(study, cells(study, grade));
    let prompts = study.prompts_of(grade);
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(cell) = queue.next(stop) {
                    let (began, mut computed) = (Instant::now(), false);
                    let work = Work { study, cell: &cell, folder: &options.folder, prompts, stop };
                    let found = cell::find_or_compute(&work, &mut |event| {
                        computed = true;
                        told(event);
                    });
                    let took = computed.then(|| began.elapsed());
                    if let Some(event) = queue.done(cell, found, took, options.jobs) {
                        told(event);
                    }
                }
            });
        }
    });
    queue.finish(stop)
}

/// The figures of seeds, each named `stage/figure`.
pub fn figures(found: &BTreeMap<Cell, Found>, seeds: &[u64]) -> Figures {
    let mut figures = Figures::new();
    for (cell, found) in found.iter().filter(|(cell, _)| seeds.contains(&cell.seed)) {
        let named =
            found.figures.iter().map(|(name, value)| (format!("{}/{name}", cell.stage), *value));
        figures.entry(cell.seed).or_default().extend(named);
    }
    figures
}

/// Cells that wait, run and are done.
struct Queue<'a> {
    study: &'a Study,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<Cell>,
    running: BTreeSet<Cell>,
    done: BTreeMap<Cell, Found>,
    failed: Option<RunError>,
    /// How long cells of a stage took that were computed.
    took: BTreeMap<String, Vec<Duration>>,
}

impl<'a> Queue<'a> {
    fn new(study: &'a Study, waiting: Vec<Cell>) -> Self {
        let (running, done, took) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let state = State { waiting, running, done, failed: None, took };
        Self { study, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next cell whose parent is there. Waits for one; nothing once all are taken or the run ends.
    fn next(&self, stop: &AtomicBool) -> Option<Cell> {
        let mut state = self.state();
        loop {
            if state.failed.is_some() || stop.load(Ordering::Relaxed) {
                return None;
            }
            let ready =
                state.waiting.iter().position(|cell| match self.study.parent_of(&cell.stage) {
                    Some(parent) => {
                        state.done.contains_key(&Cell { seed: cell.seed, stage: parent.to_owned() })
                    }
                    None => true,
                });
            if let Some(index) = ready {
                let cell = state.waiting.remove(index);
                state.running.insert(cell.clone());
                return Some(cell);
            }
            if state.running.is_empty() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(
        &self,
        cell: Cell,
        found: Result<Found, CellError>,
        took: Option<Duration>,
        jobs: usize,
    ) -> Option<Event> {
        let mut state = self.state();
        state.running.remove(&cell);
        self.changed.notify_all();
        match found {
            Ok(found) => {
                if let Some(took) = took {
                    state.took.entry(cell.stage.clone()).or_default().push(took);
                }
                state.done.insert(cell.clone(), found);
                let of = state.waiting.len() + state.running.len() + state.done.len();
                Some(Event::Ended {
                    cell,
                    took,
                    done: state.done.len(),
                    of,
                    left: state.left(jobs),
                })
            }
            Err(CellError::Stopped) => None,
            Err(error) => {
                state.failed.get_or_insert(RunError::Cell { cell, error });
                None
            }
        }
    }

    fn finish(self, stop: &AtomicBool) -> Result<BTreeMap<Cell, Found>, RunError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some(error) => Err(error),
            None if stop.load(Ordering::Relaxed) && !state.waiting.is_empty() => {
                Err(RunError::Stopped)
            }
            None => Ok(state.done),
        }
    }
}

impl State {
    /// A cell that waits takes as long as others of its stage did, or as the mean of all.
    fn left(&self, jobs: usize) -> Option<Duration> {
        let mean = |took: &[Duration]| took.iter().sum::<Duration>() / took.len() as u32;
        let all: Vec<Duration> = self.took.values().flatten().copied().collect();
        if all.is_empty() {
            return None;
        }
        let waiting = self.waiting.iter().chain(&self.running);
        let one =
            |cell: &Cell| self.took.get(&cell.stage).map_or_else(|| mean(&all), |took| mean(took));
        Some(waiting.map(one).sum::<Duration>() / jobs.max(1) as u32)
    }
}
