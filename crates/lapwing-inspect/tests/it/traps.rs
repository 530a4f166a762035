//! Whatever Inspect may have written is read, and what nobody should have written is an error that leaves nothing behind.

use std::io::{Cursor, Write as _};

use lapwing_core::{Act, Outcome};
use lapwing_inspect::InspectError;
use lapwing_store::{Ending, Run, RunState};
use serde_json::{Value, json};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::support::{header, import_at, import_members, names_in, write_log, zipped};

const SAMPLE: &str = "samples/s1_epoch_1.json";

fn sample() -> Value {
    json!({ "id": "s1", "epoch": 1, "input": "Hi", "target": "x", "scores": { "m": { "value": "C" } },
        "events": [{ "event": "info", "source": "who", "data": "first" }] })
}

/// Imports a log of these members, each as it stands.
fn import_text(members: &[(&str, &str)], method: CompressionMethod) -> Result<Run, InspectError> {
    let dir = tempfile::tempdir().unwrap();
    let file = write_log(dir.path(), members, method);
    import_at(&file, &dir.path().join("runs")).map(|(_, run)| run)
}

/// What was emitted in a sample by somebody else than Inspect itself.
fn emitted(run: &Run, sample: u64) -> Vec<(String, String, Value)> {
    let events = run.events(sample).unwrap().into_iter();
    let emitted = events.filter_map(|event| match event.act {
        Act::Emitted { program, name, fields } if program != "inspect" => {
            Some((program, name, Value::Object(fields)))
        }
        _ => None,
    });
    emitted.collect()
}

fn error_of(members: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = write_log(dir.path(), members, CompressionMethod::Deflated);
    refused(&file)
}

/// The error of an import, after which no run is there.
fn refused(file: &std::path::Path) -> String {
    let runs = file.parent().unwrap().join("runs");
    let error = import_at(file, &runs).err().unwrap().to_string();
    assert_eq!(names_in(&runs), [""; 0], "{error}");
    error
}

#[test]
fn members_may_be_stored_deflated_or_zstandard_of_several_frames() {
    let (header, sample) = (header().to_string(), sample().to_string());
    let members = [("header.json", header.as_str()), (SAMPLE, sample.as_str())];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated, CompressionMethod::Zstd]
    {
        let run = import_text(&members, method).unwrap();
        assert_eq!(emitted(&run, 1).len(), 2, "{method}");
    }
    // Two frames in one member: what a stored member would hold, under the name of the other method.
    let (first, second) = sample.split_at(20);
    let pack = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let packed = [pack(first), pack(second)].concat();
    let bytes = zipped(&members[..1], CompressionMethod::Stored);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.eval");
    std::fs::write(&file, with_member(&bytes, SAMPLE, &packed, sample.as_bytes())).unwrap();
    let (_, run) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert_eq!(emitted(&run, 1).len(), 2);
}

/// The archive with one more member, whose Zstandard frames are `packed`.
fn with_member(archive: &[u8], name: &str, packed: &[u8], unpacked: &[u8]) -> Vec<u8> {
    let end = archive.len() - 22;
    let directory = u32::from_le_bytes(archive[end + 16..end + 20].try_into().unwrap()) as usize;
    let entries = archive[directory..end].to_vec();
    let n = u16::from_le_bytes(archive[end + 8..end + 10].try_into().unwrap()) + 1;
    let mut common = Vec::new();
    for number in [63_u16, 0, 93, 0, 0x21] {
        common.extend(number.to_le_bytes());
    }
    common.extend(crc32(unpacked).to_le_bytes());
    common.extend((packed.len() as u32).to_le_bytes());
    common.extend((unpacked.len() as u32).to_le_bytes());
    common.extend((name.len() as u16).to_le_bytes());
    common.extend(0_u16.to_le_bytes());
    let mut bytes = archive[..directory].to_vec();
    let offset = bytes.len() as u32;
    bytes.extend(b"PK\x03\x04");
    bytes.extend(&common);
    bytes.extend(name.as_bytes());
    bytes.extend(packed);
    let directory = bytes.len() as u32;
    bytes.extend(&entries);
    bytes.extend(b"PK\x01\x02\x3f\x03");
    bytes.extend(&common);
    bytes.extend([0; 10]);
    bytes.extend(offset.to_le_bytes());
    bytes.extend(name.as_bytes());
    let size = bytes.len() as u32 - directory;
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(n.to_le_bytes());
    bytes.extend(n.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(directory.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    }) ^ !0
}

#[test]
fn of_members_of_one_name_the_last_counts() {
    let (header, sample) = (header().to_string(), sample().to_string());
    let later = sample.replace("first", "other");
    // The crate that writes refuses to repeat a name, so another one of the same length is written over.
    let name = SAMPLE.replace("s1", "s2");
    let members = [
        ("header.json", header.as_str()),
        (name.as_str(), sample.as_str()),
        (SAMPLE, later.as_str()),
    ];
    let mut bytes = zipped(&members, CompressionMethod::Stored);
    let places = bytes.windows(name.len()).enumerate();
    let places: Vec<usize> =
        places.filter(|(_, window)| *window == name.as_bytes()).map(|(at, _)| at).collect();
    for at in places {
        bytes[at..at + name.len()].copy_from_slice(SAMPLE.as_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.eval");
    std::fs::write(&file, bytes).unwrap();
    let (imported, run) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert_eq!(imported.samples, 1);
    assert_eq!(emitted(&run, 1)[0].2, json!({ "data": "other" }));
}

#[test]
fn a_log_that_was_cut_off_has_its_start_and_the_summaries_of_its_journal() {
    let summary = |id: &str, value: Value| {
        json!([{ "id": id, "epoch": 1, "input": "", "target": "", "completed": true,
        "scores": { "m": { "value": value } } }])
    };
    let (dir, run) = import_members(&[
        ("_journal/start.json", header()),
        (SAMPLE, sample()),
        ("_journal/summaries/1.json", summary("s1", json!("C"))),
        ("_journal/summaries/2.json", summary("gone", json!("C"))),
        ("_journal/summaries/3.json", summary("gone", json!("I"))),
        ("_journal/summaries/5.json", summary("never", json!("C"))),
    ])
    .unwrap();
    drop(dir);
    assert_eq!(run.state().unwrap(), RunState::Ended(Ending::Stopped));
    assert_eq!(run.samples().unwrap().len(), 2);
    let found = run.findings(1).unwrap();
    assert_eq!([found[&1][0].outcome, found[&2][0].outcome], [Outcome::Present, Outcome::Absent]);
}

#[test]
fn numbers_and_texts_that_json_does_not_know_are_read() {
    let header = header().to_string();
    let sample = sample().to_string().replace(
        r#""first""#,
        r#"{"a": NaN, "b": -Infinity, "c": 123456789012345678901234567890, "d": "\ud800", "e": 1e999}"#,
    );
    let sample = sample.replace("\"C\"", "NaN");
    let run =
        import_text(&[("header.json", &header), (SAMPLE, &sample)], CompressionMethod::Stored)
            .unwrap();
    let emitted = emitted(&run, 1);
    let expected = json!({ "a": "NaN", "b": "-Infinity", "c": "123456789012345678901234567890", "d": "\u{fffd}", "e": "1e999" });
    assert_eq!(emitted[0].2["data"], expected);
    assert_eq!(emitted[1].2, json!({ "reason": "not scored" }));
    assert_eq!(run.findings(1).unwrap().get(&1), None, "what is never scored is no behaviour");
}

#[test]
fn what_is_nested_to_250_is_read_and_what_is_deeper_becomes_text() {
    let header = header().to_string();
    for depth in [250, 100_000] {
        let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let sample = sample().to_string().replace(r#""first""#, &deep);
        let run = import_text(
            &[("header.json", &header), (SAMPLE, &sample)],
            CompressionMethod::Deflated,
        )
        .unwrap();
        let data = emitted(&run, 1).remove(0).2.to_string();
        assert!(data.contains("[[["), "{}", data.len());
    }
}

#[test]
fn logs_of_old_versions_are_read() {
    let old = json!({ "id": 1, "epoch": 1, "input": "Hi", "target": "x", "score": { "value": "I" },
        "sandbox": ["docker", "compose.yaml"],
        "transcript": {
            "events": [
                { "event": "step", "action": "begin", "type": "solver", "name": "generate" },
                { "event": "model", "model": "mock/m", "input": [{ "role": "user", "content": "tc://k" }],
                  "output": { "choices": [{ "message": { "role": "assistant", "content": "no" }, "stop_reason": "length" }] } },
                { "event": "step", "action": "end", "name": "generate" },
            ],
            "content": { "k": "a text" },
        } });
    let (_dir, run) =
        import_members(&[("header.json", header()), ("samples/1_epoch_1.json", old)]).unwrap();
    let said: Vec<String> = run
        .events(1)
        .unwrap()
        .into_iter()
        .filter_map(|event| match event.act {
            Act::Messaged { message, .. } => Some(message.text()),
            Act::Generated { output: Some(output), .. } => {
                Some(format!("{} {:?}", output.message.text(), output.stop))
            }
            _ => None,
        })
        .collect();
    assert_eq!(said, ["a text", "no MaxTokens"]);
    assert_eq!(run.findings(1).unwrap()[&1][0].outcome, Outcome::Absent);
}

#[test]
fn a_log_without_events_has_its_messages_and_one_without_samples_its_summaries() {
    let bare = json!({ "id": "s1", "epoch": 1, "input": "Hi", "target": "x", "messages": [
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": "", "tool_calls": [{ "id": "1", "function": "add", "arguments": {} }] },
        { "role": "tool", "content": "4", "tool_call_id": "1", "function": "add" },
        { "role": "assistant", "content": [{ "type": "text", "text": "4" }] },
    ] });
    let (_dir, run) = import_members(&[("header.json", header()), (SAMPLE, bare)]).unwrap();
    let kinds =
        run.events(1).unwrap().into_iter().map(|event| {
            serde_json::to_value(event.act).unwrap()["kind"].as_str().unwrap().to_owned()
        });
    let expected = [
        "sample_started",
        "phase_started",
        "emitted",
        "messaged",
        "generated",
        "tool_called",
        "tool_returned",
        "generated",
        "phase_ended",
        "sample_ended",
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);

    let summaries = json!([{ "id": 3, "epoch": 2, "input": "", "target": "", "error": "broke", "scores": { "m": { "value": 1 } } }]);
    let (_dir, run) =
        import_members(&[("header.json", header()), ("summaries.json", summaries)]).unwrap();
    assert_eq!(run.samples().unwrap()[0].key.epoch, 2);
    assert_eq!(run.findings(1).unwrap()[&1][0].outcome, Outcome::Present);
}

#[test]
fn values_of_any_other_shape_are_kept_or_left_out_and_never_break_anything() {
    let shapes = [
        json!(null),
        json!(1),
        json!("x"),
        json!([]),
        json!({}),
        json!([[1, 2], "y"]),
        json!({ "a": [{}] }),
    ];
    let tags = [
        "model",
        "tool",
        "sandbox",
        "info",
        "score",
        "step",
        "span_begin",
        "error",
        "sample_init",
        "",
    ];
    let names = [
        "output",
        "call",
        "input",
        "input_refs",
        "error",
        "result",
        "arguments",
        "events",
        "data",
        "timestamp",
        "working_time",
    ];
    let mut events = shapes.to_vec();
    for tag in tags {
        for shape in &shapes {
            let fields = names.iter().map(|name| ((*name).to_owned(), shape.clone()));
            let mut event = Value::Object(fields.collect());
            event["event"] = json!(tag);
            events.push(event);
        }
    }
    for shape in &shapes {
        let mut sample = sample();
        sample["events"] = json!(events);
        for name in
            ["scores", "error", "limit", "metadata", "target", "input", "id", "epoch", "started_at"]
        {
            sample[name] = shape.clone();
        }
        let (_dir, run) = import_members(&[("header.json", header()), (SAMPLE, sample)]).unwrap();
        assert!(run.events(1).unwrap().len() > events.len() / 2);
    }
    for shape in shapes {
        let refused = import_members(&[("_journal/start.json", shape.clone()), (SAMPLE, sample())]);
        assert!(matches!(refused, Err(InspectError::NotALog { .. })), "{shape}");
        let odd = import_members(&[
            ("header.json", header()),
            ("summaries.json", json!([shape.clone()])),
            (SAMPLE, sample()),
        ]);
        assert_eq!(odd.unwrap().1.samples().unwrap().len(), 1);
        let mut own = header();
        own["eval"]["metadata"] = json!({ "lapwing": { "format": 1, "spec": shape } });
        assert!(matches!(
            import_members(&[("header.json", own)]),
            Err(InspectError::Damaged { .. })
        ));
    }
}

#[test]
fn a_sample_in_chunks_is_named_in_the_error() {
    let header = header().to_string();
    let error = error_of(&[("header.json", &header), ("samples/s1_epoch_1/sample.json", "{}")]);
    assert!(error.contains("samples/s1_epoch_1/sample.json is a sample in chunks"), "{error}");
}

#[test]
fn a_file_that_is_no_log_is_told_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.eval");
    let header = header().to_string().replace("model", "mode");
    let rows: [(&[u8], &str); 4] = [
        (b"{\"version\": 2}", "inspect log convert"),
        (b"PK, so to speak", "no ZIP archive"),
        (&zipped(&[("a", "b")], CompressionMethod::Stored), "neither header.json"),
        (&zipped(&[("header.json", &header)], CompressionMethod::Stored), "names no model"),
    ];
    for (bytes, expected) in rows {
        std::fs::write(&file, bytes).unwrap();
        let error = refused(&file);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_member_that_is_cut_off_or_is_no_json_leaves_no_run() {
    let (header, sample) = (header().to_string(), sample().to_string());
    let cut = &sample[..sample.len() - 9];
    for broken in [cut, "", "[]", "{\"events\": [1, }", "{\"events\": 5}"] {
        let error = error_of(&[("header.json", &header), (SAMPLE, broken)]);
        assert!(error.contains(SAMPLE), "{error}");
    }
}

#[test]
fn an_archive_that_lies_about_its_size_or_unpacks_to_too_much_is_refused() {
    let (header, sample) = (header().to_string(), sample().to_string());
    let packed = zstd::encode_all(sample.as_bytes(), 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log.eval");
    let honest = zipped(&[("header.json", &header)], CompressionMethod::Stored);
    let archive = with_member(&honest, SAMPLE, &packed, sample.as_bytes());
    let size = (sample.len() as u32).to_le_bytes();
    let lying = |as_if: u32| {
        let mut bytes = archive.clone();
        let places: Vec<usize> = bytes
            .windows(4)
            .enumerate()
            .filter(|(_, window)| **window == size)
            .map(|(at, _)| at)
            .collect();
        for at in places {
            bytes[at..at + 4].copy_from_slice(&as_if.to_le_bytes());
        }
        bytes
    };
    let rows = [
        (lying(10), "larger than its declared"),
        (lying(100_000), "fewer bytes than the archive says"),
        (lying(0xffff_fff0), "unpacks to"),
    ];
    for (bytes, expected) in rows {
        std::fs::write(&file, bytes).unwrap();
        let error = refused(&file);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn names_of_members_are_never_paths() {
    let (header, sample) = (header().to_string(), sample().to_string());
    let dir = tempfile::tempdir().unwrap();
    let name = "samples/../../../escaped_epoch_1.json";
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in [("header.json", &header), (name, &sample), ("/etc/passwd", &sample)] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let file = dir.path().join("log.eval");
    std::fs::write(&file, zip.finish().unwrap().into_inner()).unwrap();
    let (imported, _) = import_at(&file, &dir.path().join("runs")).unwrap();
    assert_eq!(imported.id, "task-a-tag");
    let mut names = names_in(dir.path());
    names.sort();
    assert_eq!(names, ["log.eval", "runs"]);
    assert_eq!(names_in(&dir.path().join("runs")), ["task-a-tag.lapwing"]);
}

#[test]
fn a_run_of_that_name_is_not_written_over_and_a_name_is_never_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let header = header().to_string();
    let file = write_log(dir.path(), &[("header.json", &header)], CompressionMethod::Stored);
    let runs = dir.path().join("runs");
    import_at(&file, &runs).unwrap();
    assert!(matches!(import_at(&file, &runs), Err(InspectError::Exists(_))));
    let options = lapwing_inspect::Options { name: Some("../x"), tag: "t", now_ms: 1 };
    let named = lapwing_inspect::import(&file, &lapwing_store::Runs::new(&runs), &options);
    assert!(matches!(named, Err(InspectError::Name(_))));
    assert_eq!(names_in(&runs), ["task-a-tag.lapwing"]);
}
