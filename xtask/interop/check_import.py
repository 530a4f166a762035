"""Compares runs that lapwing made of logs with what Inspect reads in those logs, or with the runs that were exported.

usage: check_import.py equal LAPWING RUNS ID OTHER_RUNS OTHER_ID
       check_import.py scores LAPWING RUNS ID LOG
"""

import json
import math
import subprocess
import sys


def show(lapwing, runs, *arguments):
    command = [lapwing, "show", *map(str, arguments), "--runs", runs, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def samples(lapwing, runs, run):
    return [
        show(lapwing, runs, run, sample["sample"]) for sample in show(lapwing, runs, run)["samples"]
    ]


def check_equal(lapwing, runs, run, other_runs, other):
    """Keys, planted acts, findings and every event, times and process ids too."""
    here, there = samples(lapwing, runs, run), samples(lapwing, other_runs, other)
    assert len(here) == len(there) > 0
    for one, two in zip(here, there, strict=True):
        for part in ("sample", "key", "planted", "findings", "events"):
            assert one[part] == two[part], f"{part} of sample {one['sample']} differs"
    tables = [show(lapwing, where, name)["table"] for where, name in ((runs, run), (other_runs, other))]
    assert tables[0] == tables[1], "the tables differ"


def check_scores(lapwing, runs, run, path):
    """Each score of the log is evidence with its number, or without one where it is not scored; what a model said stands once."""
    from inspect_ai.log import read_eval_log

    log = read_eval_log(path, resolve_attachments="full")
    made = {(values(sample)["id"], sample["key"]["epoch"]): sample for sample in samples(lapwing, runs, run)}
    assert len(made) == len(log.samples)
    for sample in log.samples:
        acts = [event["act"] for event in made[(sample.id, sample.epoch)]["events"]]
        emitted = {act["name"]: act["fields"] for act in acts if act["kind"] == "emitted" and act["program"] == "scorer"}
        expected = {}
        for name, score in (sample.scores or {}).items():
            parts = score.value if isinstance(score.value, dict) else {None: score.value}
            for part, value in parts.items():
                expected[name if part is None else f"{name}.{part}"] = number(value)
        assert {name: fields.get("value") for name, fields in emitted.items()} == expected, sample.id
        answers = [
            part["text"]
            for act in acts
            if act["kind"] == "generated" and act.get("role", "target") == "target" and act["output"]
            for part in act["output"]["message"]["parts"]
            if part["part"] == "text"
        ]
        said = [message.text for message in sample.messages if message.role == "assistant" and message.text]
        assert answers == said, (sample.id, answers, said)
        told = [act["message"]["text"] for act in acts if act["kind"] == "messaged"]
        asked = [message.text for message in sample.messages if message.role in ("system", "user")]
        assert told == asked, (sample.id, told, asked)
        kinds = {act["kind"] for act in acts}
        assert ("limit_reached" in kinds) == (sample.limit is not None)
        assert ("failed" in kinds) == (sample.error is not None)
        tokens = sum(
            act["output"]["usage"]["input"] + act["output"]["usage"]["cache_read"] + act["output"]["usage"]["output"]
            for act in acts
            if act["kind"] == "generated" and act["output"]
        )
        assert tokens == sum(usage.total_tokens for usage in sample.model_usage.values())


def values(sample):
    return sample["events"][0]["act"]["values"]


def number(value):
    letters = {"C": 1.0, "I": 0.0, "N": 0.0, "P": 0.5}
    value = letters.get(value, value)
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    {"equal": check_equal, "scores": check_scores}[sys.argv[1]](*sys.argv[2:])
