"""Run every `test_…` function of a file and leave the verdict: a CTRF report and reward.txt.

usage: run_tests.py FILE

The reward is 1 when all tests passed, else 0. Standard library only, so that any image with a
python3 can run it; the reward is written last, so that it never stands without its report.
"""

import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path

LOGS = Path("/logs/verifier")


def load(path):
    """Import a test file by its path, whatever the working directory is."""
    spec = importlib.util.spec_from_file_location("checks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(name, check) for name, check in vars(module).items() if name.startswith("test_")]


def run(name, check):
    """One row of the report."""
    began = time.monotonic()
    row = {"name": name, "status": "passed"}
    try:
        check()
    except Exception as problem:
        row["status"] = "failed"
        place = traceback.extract_tb(problem.__traceback__)[-1]
        row["message"] = (str(problem) or f"line {place.lineno}: {place.line}")[:2000]
        row["trace"] = traceback.format_exc()[-4000:]
    row["duration"] = round((time.monotonic() - began) * 1000)
    return row


def main():
    start = round(time.time() * 1000)
    rows = [run(name, check) for name, check in load(sys.argv[1])]
    passed = sum(row["status"] == "passed" for row in rows)
    summary = {"tests": len(rows), "passed": passed, "failed": len(rows) - passed}
    summary |= {"pending": 0, "skipped": 0, "other": 0}
    summary |= {"start": start, "stop": round(time.time() * 1000)}
    report = {"results": {"tool": {"name": "run_tests"}, "summary": summary, "tests": rows}}
    for row in rows:
        print(row["status"], row["name"], "-", row.get("message", "ok").splitlines()[0])
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "ctrf.json").write_text(json.dumps(report, indent=2))
    (LOGS / "reward.txt").write_text("1\n" if rows and passed == len(rows) else "0\n")


main()
