"""Reads logs that lapwing exported in every way that Inspect has, serves them, and lets Inspect write them again.

usage: check_export.py LOGS REWRITTEN
"""

import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

from inspect_ai.analysis import evals_df, events_df, messages_df, samples_df
from inspect_ai.log import (
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
    write_eval_log,
)

OUTCOMES = {"present": 1.0, "absent": 0.0, "refused": 0.0}


def check_log(path):
    """Everything in one log, and that its parts agree."""
    log = read_eval_log(path)
    assert log.status == "success", log.status
    summaries = read_eval_log_sample_summaries(path)
    assert len(log.samples) == len(summaries) == log.results.total_samples
    keys = [(sample.id, sample.epoch) for sample in log.samples]
    assert len(set(keys)) == len(keys), "ids repeat"
    by_key = {(summary.id, summary.epoch): summary for summary in summaries}
    for sample in log.samples:
        check_sample(sample)
        summary = by_key[(sample.id, sample.epoch)]
        assert summary.completed
        assert summary.message_count == len(sample.messages)
        assert {name: str(score.value) for name, score in summary.scores.items()} == {
            name: str(score.value) for name, score in sample.scores.items()
        }
        one = read_eval_log_sample(path, id=sample.id, epoch=sample.epoch, resolve_attachments="full")
        assert "attachment://" not in one.model_dump_json(), "a text is missing"
        assert [event.event for event in one.events] == [event.event for event in sample.events]
    scored = {score.name for score in log.results.scores}
    assert scored == {name for sample in log.samples for name in sample.scores}
    for score in log.results.scores:
        values = [sample.scores[score.name].value for sample in log.samples]
        missing = sum(math.isnan(value) for value in values)
        assert (score.unscored_samples, score.scored_samples) == (missing, len(values) - missing)
    return log


def check_sample(sample):
    assert sample.messages and sample.input and sample.uuid
    turns = [event for event in sample.events if event.event == "model" and event.role is None]
    assert sample.turn_count == sum(bool(event.output.choices) for event in turns)
    assert all(event.input for event in turns), "a turn without input"
    calls = [call for message in sample.messages for call in getattr(message, "tool_calls", None) or []]
    tools = [event for event in sample.events if event.event == "tool"]
    assert len(tools) <= len(calls) or any(event.failed for event in tools)
    spans = [event.id for event in sample.events if event.event == "span_begin"]
    ends = [event.id for event in sample.events if event.event == "span_end"]
    assert sorted(spans) == sorted(ends) and len(set(spans)) == len(spans)
    for score in sample.scores.values():
        if score.answer in OUTCOMES:
            assert score.value == OUTCOMES[score.answer], score
        else:
            assert score.answer is None or (math.isnan(score.value) and score.reason), score
    if sample.limit:
        assert any(event.event == "sample_limit" for event in sample.events)


def check_frames(paths, logs):
    samples = [sample for log in logs for sample in log.samples]
    assert len(evals_df(paths)) == len(logs)
    frame = samples_df(paths)
    assert len(frame) == len(samples)
    assert frame["metadata_seed"].notna().all() and frame["metadata_condition"].notna().all()
    # Inspect takes messages from what models were given and gave, each id once.
    given = {
        message.id
        for sample in samples
        for event in sample.events
        if event.event == "model" and event.role is None
        for message in [*event.input, *(choice.message for choice in event.output.choices)]
    }
    assert given <= set(messages_df(paths)["message_id"])
    assert len(events_df(paths)) == sum(len(sample.events) for sample in samples)


def check_viewer(folder, paths):
    """The endpoints that the viewer of `inspect view` asks, byte ranges among them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "--log-dir", folder, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listing = json.loads(wait_for(f"http://127.0.0.1:{port}/api/logs", server))
        names = [entry["name"] for entry in listing["files"]]
        assert {os.path.basename(name) for name in names} == {os.path.basename(path) for path in paths}
        for name in names:
            file = urllib.parse.quote(name, safe="")
            base = f"http://127.0.0.1:{port}/api"
            size = int(fetch(f"{base}/log-size/{file}"))
            tail = fetch(f"{base}/log-bytes/{file}?start={size - 22}&end={size - 1}")
            assert tail[:4] == b"PK\x05\x06", "the directory does not end the file"
            head = fetch(f"{base}/log-bytes/{file}?start=0&end=3")
            assert head == b"PK\x03\x04"
            header = json.loads(fetch(f"{base}/log-headers?file={file}"))
            assert header[0]["eval"]["model"]
            whole = json.loads(fetch(f"{base}/logs/{file}"))
            assert whole["results"]["scores"] and whole["samples"]
    finally:
        server.terminate()
        server.wait()


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def wait_for(url, server):
    for _ in range(600):
        assert server.poll() is None, "inspect view ended"
        try:
            return fetch(url)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("inspect view does not answer")


def main():
    folder, rewritten = sys.argv[1:]
    paths = sorted(str(path) for path in Path(folder).glob("*.eval"))
    assert paths, f"no logs in {folder}"
    logs = [check_log(path) for path in paths]
    check_frames(paths, logs)
    check_viewer(folder, paths)
    for path in paths:
        for resolved in (False, "core", "full"):
            target = Path(rewritten) / str(resolved) / os.path.basename(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_eval_log(read_eval_log(path, resolve_attachments=resolved), str(target))
    limits = {sample.limit.type for log in logs for sample in log.samples if sample.limit}
    print(f"{len(paths)} logs, {sum(len(log.samples) for log in logs)} samples, limits: {sorted(limits)}")


if __name__ == "__main__":
    main()
