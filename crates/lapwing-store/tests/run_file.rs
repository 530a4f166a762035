//! What a user can rely on about a run file.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lapwing_core::{
    Act, Booking, Citation, Condition, Digest, Event, Finding, Outcome, Planted, Recorder as _,
    Reserve, SampleKey, Stage, Usage,
};
use lapwing_store::{
    Ending, Resume, Resumed, Run, RunSpec, RunState, RunWriter, Runs, SampleState, Scoring,
    StoreError,
};

fn spec() -> RunSpec {
    RunSpec {
        scenario: "tea".to_owned(),
        digest: Digest::of(b"folder"),
        models: vec!["policy/never".to_owned()],
        instrument_check: true,
        chosen: BTreeMap::new(),
        seeds: 2,
        epochs: 1,
        settings: BTreeMap::new(),
        version: "0.0.0".to_owned(),
        started_ms: 1_700_000_000_000,
    }
}

fn key(seed: u64) -> SampleKey {
    SampleKey { model: "policy/never".to_owned(), condition: Condition::default(), seed, epoch: 1 }
}

fn event(seq: u64) -> Event {
    Event { seq, phase: "act".to_owned(), at_ms: seq, act: Act::SampleEnded }
}

fn finding() -> Finding {
    Finding {
        behaviour: "spill".to_owned(),
        stage: Stage::Success,
        outcome: Outcome::Present,
        cites: vec![Citation { seq: 1, query: "spilt".to_owned(), what: "/cup".to_owned() }],
        reason: None,
    }
}

fn create(dir: &Path, tag: &str) -> RunWriter {
    let folder = BTreeMap::from([("scenario.toml".to_owned(), b"format = 1".repeat(100))]);
    let planted =
        Planted { behaviour: "spill".to_owned(), stage: Stage::Success, outcome: Outcome::Present };
    let samples = [(key(0), Some(vec![planted])), (key(1), None)];
    Runs::new(dir).create(tag, &spec(), &folder, &samples).unwrap()
}

/// A scoring with these findings of sample 1.
fn scored(scenario: Digest, findings: &[Finding]) -> Scoring {
    Scoring {
        at_ms: 9,
        scenario,
        findings: vec![(1, findings.to_vec())],
        judge: None,
        judged: BTreeMap::new(),
        blobs: BTreeMap::new(),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_finished_run_reads_back_whole_and_is_one_read_only_file() {
    let dir = tempfile::tempdir().unwrap();
    let blob = wait(async {
        let writer = create(dir.path(), "a");
        let blob = writer.keep(b"bytes".to_vec());
        writer.record(1, vec![event(1), event(2)]).await.unwrap();
        writer.finish(1, vec![finding()]).await.unwrap();
        writer.seal(Ending::Finished, 5).await.unwrap();
        blob
    });

    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].metadata().unwrap().permissions().readonly());

    let run = Runs::new(dir.path()).find("tea").unwrap();
    assert_eq!(run.id(), "tea-a");
    assert_eq!(run.spec().unwrap(), spec());
    assert_eq!(run.state().unwrap(), RunState::Ended(Ending::Finished));
    assert_eq!(run.folder().unwrap()["scenario.toml"], b"format = 1".repeat(100));
    assert_eq!(run.events(1).unwrap(), [event(1), event(2)]);
    assert_eq!(run.blob(blob).unwrap().unwrap(), b"bytes");
    assert_eq!(run.findings(1).unwrap(), BTreeMap::from([(1, vec![finding()])]));
    let states: Vec<_> = run.samples().unwrap().iter().map(|sample| sample.state).collect();
    assert_eq!(states, [SampleState::Done, SampleState::Planned]);
}

#[test]
fn what_was_acknowledged_can_be_read_while_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    wait(async {
        let writer = create(dir.path(), "a");
        writer.record(2, vec![event(1)]).await.unwrap();
        let run = Runs::new(dir.path()).find("latest").unwrap();
        assert_eq!(run.state().unwrap(), RunState::Running);
        assert_eq!(run.events(2).unwrap(), [event(1)]);
        assert_eq!(run.samples().unwrap()[1].state, SampleState::Begun);
    });
}

#[test]
fn a_scoring_is_added_beside_the_first_and_the_file_is_read_only_again() {
    let dir = tempfile::tempdir().unwrap();
    wait(async {
        let writer = create(dir.path(), "a");
        writer.finish(1, vec![finding()]).await.unwrap();
        writer.seal(Ending::Stopped, 5).await.unwrap();
    });
    let runs = Runs::new(dir.path());
    let other = Finding { outcome: Outcome::Absent, cites: Vec::new(), ..finding() };
    let digest = Digest::of(b"edited");
    let scoring = runs
        .find("tea-a")
        .unwrap()
        .add_scoring(&scored(digest, std::slice::from_ref(&other)))
        .unwrap();

    let run = runs.find("tea-a").unwrap();
    assert_eq!(run.findings(1).unwrap()[&1], [finding()]);
    assert_eq!(run.findings(scoring).unwrap()[&1], [other]);
    assert_eq!(run.scorings().unwrap()[1].scenario, digest);
    assert!(fs::metadata(run.path()).unwrap().permissions().readonly());
}

/// What a judge said, for sample 1, with the bytes of its request.
fn judged(judge: &str, seq: u64) -> Scoring {
    let bytes = judge.as_bytes().to_vec();
    Scoring {
        judge: Some(judge.to_owned()),
        judged: BTreeMap::from([(1, vec![event(seq)])]),
        blobs: BTreeMap::from([(Digest::of(&bytes), bytes)]),
        ..scored(Digest::of(b"folder"), &[finding()])
    }
}

#[test]
fn what_a_judge_said_belongs_to_its_scoring_and_leaves_the_events_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    wait(async {
        let writer = create(dir.path(), "a");
        writer.record(1, vec![event(1)]).await.unwrap();
        writer.seal(Ending::Finished, 5).await.unwrap();
    });
    let runs = Runs::new(dir.path());
    let first = runs.find("tea-a").unwrap().add_scoring(&judged("one", 2)).unwrap();
    let second = runs.find("tea-a").unwrap().add_scoring(&judged("two", 2)).unwrap();

    let run = runs.find("tea-a").unwrap();
    assert_eq!(run.events(1).unwrap(), [event(1)]);
    assert_eq!(run.judged(1, 1).unwrap(), []);
    assert_eq!(run.judged(first, 1).unwrap(), [event(2)]);
    assert_eq!(run.judged(second, 1).unwrap(), [event(2)]);
    assert_eq!(run.blob(Digest::of(b"two")).unwrap().unwrap(), b"two");
    let judges: Vec<_> = run.scorings().unwrap().into_iter().map(|row| row.judge).collect();
    assert_eq!(judges, [None, Some("one".to_owned()), Some("two".to_owned())]);
}

#[test]
fn a_run_from_before_there_were_judges_is_read_and_can_be_judged() {
    let dir = tempfile::tempdir().unwrap();
    wait(create(dir.path(), "a").seal(Ending::Finished, 5)).unwrap();
    let path = dir.path().join("tea-a.lapwing");
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(&path, permissions).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("DROP TABLE judged; DROP TABLE judging;").unwrap();
    drop(old);

    let run = Run::open(&path).unwrap();
    assert_eq!(run.judged(1, 1).unwrap(), []);
    assert_eq!(run.scorings().unwrap()[0].judge, None);
    let scoring = run.add_scoring(&judged("one", 1)).unwrap();
    assert_eq!(Run::open(&path).unwrap().judged(scoring, 1).unwrap(), [event(1)]);
}

#[test]
fn a_run_is_found_by_prefix_and_a_wrong_name_gets_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let _first = create(dir.path(), "abc");
    let _second = create(dir.path(), "abd");
    let runs = Runs::new(dir.path());
    assert_eq!(runs.find("tea-abc").unwrap().id(), "tea-abc");
    assert!(matches!(runs.find("tea-ab"), Err(StoreError::Ambiguous { .. })));
    let Err(StoreError::NoRun { near, .. }) = runs.find("tae-abc") else { panic!("found") };
    assert_eq!(near.as_deref(), Some("tea-abc"));
    let nothing = Runs::new(dir.path().join("none"));
    assert!(matches!(nothing.find("latest"), Err(StoreError::NoRuns { .. })));
}

#[test]
fn files_that_are_no_run_damaged_or_newer_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.lapwing");
    fs::write(&text, "not a database, but long enough to have a header. ".repeat(40)).unwrap();
    assert!(matches!(Run::open(&text), Err(StoreError::NotARun { .. })));

    wait(create(dir.path(), "a").seal(Ending::Finished, 1)).unwrap();
    let path = dir.path().join("tea-a.lapwing");
    let whole = fs::read(&path).unwrap();

    let damaged = dir.path().join("damaged.lapwing");
    let mut bytes = whole.clone();
    bytes[4096..].fill(0xa5);
    fs::write(&damaged, bytes).unwrap();
    let read = Run::open(&damaged).and_then(|run| run.samples().map(|_| ()));
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");

    let newer = dir.path().join("newer.lapwing");
    let mut bytes = whole;
    bytes[60..64].copy_from_slice(&7_u32.to_be_bytes());
    fs::write(&newer, bytes).unwrap();
    let Err(error) = Run::open(&newer) else { panic!("opened") };
    assert!(matches!(error, StoreError::Newer { found: 7, known: 1, .. }), "{error}");
}

#[test]
fn a_run_that_cannot_be_begun_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let twice = [(key(0), None), (key(1), None)];
    let mut folder = BTreeMap::new();
    folder.insert("a".to_owned(), Vec::new());
    let target = dir.path().join("file");
    fs::write(&target, "").unwrap();
    let error = Runs::new(&target).create("a", &spec(), &folder, &twice).err().unwrap();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_run_is_sealed_while_someone_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = create(dir.path(), "a");
    let reader = Runs::new(dir.path()).find("tea-a").unwrap();
    wait(async {
        writer.record(1, vec![event(1)]).await.unwrap();
        writer.seal(Ending::Finished, 5).await.unwrap();
    });
    assert_eq!(reader.state().unwrap(), RunState::Ended(Ending::Finished));
    drop(reader);

    let copy = dir.path().join("copy.lapwing");
    fs::copy(dir.path().join("tea-a.lapwing"), &copy).unwrap();
    assert_eq!(Run::open(&copy).unwrap().events(1).unwrap(), [event(1)]);
}

#[test]
fn a_scoring_leaves_one_plain_file_of_a_run_that_was_not_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let writer = create(dir.path(), "a");
    let reader = Runs::new(dir.path()).find("tea-a").unwrap();
    wait(writer.seal(Ending::Stopped, 5)).unwrap();
    reader.add_scoring(&scored(Digest::of(b"folder"), &[])).unwrap();

    let bytes = fs::read(dir.path().join("tea-a.lapwing")).unwrap();
    // Versions of the file format for writing and reading: 1 is without a write-ahead log.
    assert_eq!(bytes[18..20], [1, 1]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_name_that_is_taken_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tea-a.lapwing");
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    let error = Runs::new(dir.path()).create("a", &spec(), &BTreeMap::new(), &[]).err().unwrap();
    assert!(error.to_string().contains("there is a run of this name already"), "{error}");
    assert!(!path.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Runs this test again where its folder is a disk of 400 KiB, which any user may mount in namespaces of its own.
fn on_a_small_disk(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=400k none \"$SMALL_DISK\" && exec \"$0\" --exact \"$1\"";
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env("SMALL_DISK", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_is_kept() {
    let Some(disk) = std::env::var_os("SMALL_DISK") else {
        return on_a_small_disk("a_full_disk_is_told_and_what_was_acknowledged_is_kept");
    };
    let disk = Path::new(&disk);
    wait(async {
        let writer = create(disk, "a");
        writer.record(1, vec![event(1)]).await.unwrap();
        // Bytes that do not compress, and more of them than the disk holds.
        let mut digest = Digest::of(b"seed");
        let noise = std::iter::repeat_with(|| {
            digest = Digest::of(digest.as_bytes());
            *digest.as_bytes()
        });
        writer.keep(noise.take(20_000).flatten().collect());
        let full = writer.record(1, vec![event(2)]).await.unwrap_err();
        assert!(full.to_string().contains("the disk is full"), "{full}");
        // A later event must not be kept behind the hole, even if there were room for it.
        assert!(writer.record(1, vec![event(3)]).await.is_err());
    });
    let run = Runs::new(disk).find("tea-a").unwrap();
    assert_eq!(run.events(1).unwrap(), [event(1)]);
}

/// The run `tea-a`: sample 1 done, sample 2 begun, stopped.
fn stopped(dir: &Path) -> Run {
    wait(async {
        let writer = create(dir, "a");
        writer.record(1, vec![event(1)]).await.unwrap();
        writer.finish(1, vec![finding()]).await.unwrap();
        writer.record(2, vec![event(1), event(2)]).await.unwrap();
        writer.seal(Ending::Stopped, 5).await.unwrap();
    });
    Runs::new(dir).find("latest").unwrap()
}

#[test]
fn a_resumed_run_keeps_what_is_finished_and_sets_aside_what_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let resume = Resume { at_ms: 7, version: "1.2.3".to_owned(), ..Resume::default() };
    let run = stopped(dir.path());
    wait(async {
        let writer = Runs::resume(run, &resume).unwrap();
        let run = Runs::new(dir.path()).find("latest").unwrap();
        assert_eq!(run.state().unwrap(), RunState::Running);
        assert_eq!(run.samples().unwrap()[1].state, SampleState::Planned);
        drop(run);
        writer.record(2, vec![event(1)]).await.unwrap();
        writer.finish(2, Vec::new()).await.unwrap();
        writer.seal(Ending::Finished, 9).await.unwrap();
    });
    let run = Runs::new(dir.path()).find("latest").unwrap();
    assert_eq!(run.state().unwrap(), RunState::Ended(Ending::Finished));
    assert_eq!(run.ended_ms().unwrap(), Some(9));
    assert_eq!((run.events(1).unwrap(), run.events(2).unwrap()), (vec![event(1)], vec![event(1)]));
    assert_eq!(run.abandoned(2).unwrap(), [event(1), event(2)]);
    assert!(run.abandoned(1).unwrap().is_empty());
    let resumed = Resumed { at_ms: 7, version: "1.2.3".to_owned(), again: vec![2], added: 0 };
    assert_eq!(run.resumed().unwrap(), [resumed]);
    assert!(fs::metadata(run.path()).unwrap().permissions().readonly());
}

#[test]
fn samples_can_be_added_and_finished_ones_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let added = vec![(key(2), None), (key(3), None)];
    let spec = RunSpec { seeds: 4, ..spec() };
    let resume = Resume { again: vec![1], added, spec: Some(spec.clone()), ..Resume::default() };
    let run = stopped(dir.path());
    wait(async {
        let writer = Runs::resume(run, &resume).unwrap();
        writer.seal(Ending::Stopped, 9).await.unwrap();
    });
    let run = Runs::new(dir.path()).find("latest").unwrap();
    let rows = run.samples().unwrap();
    let seeds: Vec<(u64, u64)> = rows.iter().map(|row| (row.number, row.key.seed)).collect();
    assert_eq!(seeds, [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert!(rows.iter().all(|row| row.state == SampleState::Planned));
    assert_eq!(run.spec().unwrap(), spec);
    assert!(run.findings(1).unwrap().is_empty());
    assert_eq!(run.abandoned(1).unwrap(), [event(1)]);
    assert_eq!(
        (run.resumed().unwrap()[0].again.clone(), run.resumed().unwrap()[0].added),
        (vec![1, 2], 2)
    );
}

#[test]
fn a_run_that_goes_on_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    wait(async {
        let writer = create(dir.path(), "a");
        writer.record(1, vec![event(1)]).await.unwrap();
        let run = Runs::new(dir.path()).find("latest").unwrap();
        let refused = Runs::resume(run, &Resume::default()).err().unwrap();
        assert!(refused.to_string().contains("still goes on in another process"), "{refused}");
        writer.record(1, vec![event(2)]).await.unwrap();
    });
}

#[test]
fn samples_can_be_added_under_their_numbers_and_events_be_seen_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    wait(async {
        let writer = Runs::new(dir.path()).create("a", &spec(), &BTreeMap::new(), &[]).unwrap();
        writer.add(7, &key(3), None).await.unwrap();
        assert!(writer.add(7, &key(4), None).await.is_err());
        let writer = Runs::new(dir.path()).create("b", &spec(), &BTreeMap::new(), &[]).unwrap();
        writer.add(7, &key(3), None).await.unwrap();
        writer.record(7, vec![event(1), event(2), event(3)]).await.unwrap();
        writer.seal(Ending::Finished, 5).await.unwrap();
    });
    let run = Runs::new(dir.path()).find("tea-b").unwrap();
    let samples = run.samples().unwrap();
    assert_eq!((samples[0].number, &samples[0].key), (7, &key(3)));
    let mut seen = Vec::new();
    let stopped: Result<(), StoreError> = run.each_event(7, |event| {
        seen.push(event.seq);
        if event.seq < 2 { Ok(()) } else { Err(StoreError::NotARun { path: dir.path().into() }) }
    });
    assert!(matches!(stopped, Err(StoreError::NotARun { .. })));
    assert_eq!(seen, [1, 2]);
}

#[test]
fn what_a_call_may_be_billed_for_stays_on_record_until_it_is_settled_and_over_every_resumption() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Runs::new(dir.path());
    let reserve = |number: u64, input: u64| {
        let worst = Usage { input, output: 1, ..Usage::default() };
        Reserve { number, model: "openai/x".to_owned(), worst }
    };
    let unsettled = || runs.find("tea").unwrap().unsettled().unwrap();
    let (settled, first, again) = (reserve(1, 10), reserve(2, 20), reserve(1, 30));
    wait(async {
        let writer = create(dir.path(), "a");
        let both = [&settled, &first].map(|reserve| Booking::Reserved(reserve.clone())).to_vec();
        writer.record_booked(1, vec![event(1)], both).await.unwrap();
        assert_eq!(unsettled(), [settled.clone(), first.clone()]);
        writer.record_booked(1, vec![event(2)], vec![Booking::Settled(1)]).await.unwrap();
        writer.seal(Ending::Stopped, 5).await.unwrap();
    });
    assert_eq!(unsettled(), std::slice::from_ref(&first));
    wait(async {
        let writer = Runs::resume(runs.find("tea").unwrap(), &Resume::default()).unwrap();
        // The sample begins again, and so do its numbers.
        let bookings = vec![Booking::Reserved(again.clone())];
        writer.record_booked(1, vec![event(1)], bookings).await.unwrap();
        writer.seal(Ending::Stopped, 6).await.unwrap();
    });
    assert_eq!(unsettled(), [again, first]);
}
