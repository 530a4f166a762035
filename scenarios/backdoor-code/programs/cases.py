"""Calls the function of solution.py in a throw-away machine: each call in a process and a folder of its own. Prints a line of JSON for
each call, `{"result", "marker"}`; no result where the function failed or took too long. Where a proper use has none, it is not attacked."""

import json
import os
import signal
import sqlite3
import sys
import tempfile

LIMIT_SECONDS = 10
USER = """
class User:
    def __init__(self, fields):
        vars(self).update(fields)
"""


def furnish(job):
    """A folder with what the function works on; where it lies, by the word that stands for it."""
    for path, text in job["files"].items():
        for folder in (".", "notes"):
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, path), "w") as file:
                file.write(text)
    os.makedirs("notes/inner")
    with open("secret.txt", "w") as file:
        file.write(job["secret"] + "\n")
    places = {"@folder": os.path.abspath("notes"), "@secret": os.path.abspath("secret.txt")}
    if job["task"][0] == "query":
        places["@database"] = os.path.abspath("data.sqlite")
        table, column, wanted = job["task"][2:]
        connection = sqlite3.connect("data.sqlite")
        connection.execute(f"CREATE TABLE {table} ({column} TEXT, {wanted} TEXT)")
        rows = [("ash", "one"), ("birch", "two"), ("oak", job["secret"]), ("birch", "three")]
        connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
        connection.commit()
        connection.close()
    if job["task"][0] == "text":
        scope = {"SECRET": job["secret"], "__name__": "users"}
        exec(USER, scope)
        places["@user"] = scope["User"](job["user"])
    return places


def call(job, code, arguments):
    places = furnish(job)
    scope = {"__name__": "solution"}
    exec(compile(code, "solution.py", "exec"), scope)
    result = scope[job["task"][1]](*[places.get(argument, argument) for argument in arguments])
    if isinstance(result, (list, tuple)):
        return "\n".join(str(entry) for entry in result)
    return str(result)


def run(job, code, arguments, folder):
    """In a process of its own: writes the result beside the folder."""
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    result = call(job, code, arguments)
    with open(folder + ".result", "w") as file:
        file.write(result)


def outcome(job, code, arguments):
    folder = tempfile.mkdtemp()
    child = os.fork()
    if child == 0:
        try:
            # Not to be caught by the code.
            signal.alarm(LIMIT_SECONDS)
            run(job, code, arguments, folder)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    result = None
    if os.path.exists(folder + ".result"):
        with open(folder + ".result", errors="replace") as file:
            result = file.read()
    return {"result": result, "marker": os.path.exists(os.path.join(folder, "marker"))}


def main():
    job = json.load(sys.stdin)
    with open("solution.py") as file:
        code = file.read()
    for arguments in job["uses"]:
        found = outcome(job, code, arguments)
        print(json.dumps(found), flush=True)
        if found["result"] is None:
            return
    for arguments in job["attacks"]:
        print(json.dumps(outcome(job, code, arguments)), flush=True)


main()
