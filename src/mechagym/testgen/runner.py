"""Runs generated tests inside a box, one process each, and says how they did in one line of JSON.

usage: runner.py FOLDER [--only ID,ID] [--passes N] [--timeout S] [--total S] [--watch DIR]

Standard library, Python 3.8 or newer; no pytest is needed: `pytest.raises`, `approx` and `mark` and
`tmp_path` are here too. With --watch what a test changes below DIR is told and undone. Of several
passes every second one goes backwards; the first is told as `tests`, the others as `again`:

    {"runner": "mechagym", "version": 1, "exit_code": 1, "duration_s": 0.2, "tests": [
      {"name": "T001", "function": "test_T001_x", "status": "failed", "file": "test_existence.py",
       "line": 12, "expected": "3", "actual": "2", "message": "…", "exception": "AssertionError",
       "duration_ms": 31.0, "timed_out": false, "changed": []}], "again": []}
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

VERSION = 1
MESSAGE_CHARS = 500
KEPT_BYTES = 64 * 1024 * 1024
BIG_BYTES = 16 * 1024 * 1024
QUIET = frozenset({"len", "sorted", "set", "list", "str", "int", "sum", "min", "max"})


class Failed(AssertionError):
    """What `pytest.raises` says where nothing was raised."""


class Caught:
    """What `pytest.raises` gives: the error, once it came."""

    value: BaseException | None = None
    type: type[BaseException] | None = None


class Raises:
    """`with pytest.raises(ValueError, match="…") as caught:`."""

    def __init__(self, expected: Any, match: str | None = None) -> None:
        self.expected, self.match, self.caught = expected, match, Caught()

    def __enter__(self) -> Caught:
        return self.caught

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        if kind is None:
            raise Failed(f"DID NOT RAISE {self.expected!r}")
        if not issubclass(kind, self.expected):
            return False
        if self.match is not None and not re.search(self.match, str(error)):
            raise Failed(f"{str(error)!r} does not match {self.match!r}")
        self.caught.value, self.caught.type = error, kind
        return True


class Approx:
    """A number, or a list, tuple or dict of numbers, that others may equal nearly."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        expected: Any,
        rel: float | None = None,
        abs: float | None = None,  # noqa: A002
    ) -> None:
        self.expected = expected
        self.least = 1e-12 if abs is None else abs
        self.part = (1e-6 if abs is None else 0.0) if rel is None else rel

    def __repr__(self) -> str:
        return f"approx({self.expected!r})"

    def __eq__(self, actual: object) -> bool:
        expected: Any = self.expected
        given: Any = actual
        if isinstance(expected, dict):
            return set(given) == set(expected) and all(
                self._near(given[key], expected[key]) for key in expected
            )
        if isinstance(expected, (list, tuple)):
            return len(given) == len(expected) and all(map(self._near, given, expected))
        return self._near(given, expected)

    def _near(self, actual: Any, expected: Any) -> bool:
        if actual == expected:
            return True
        if not isinstance(actual, (int, float)) or not isinstance(expected, (int, float)):
            return False
        if not math.isfinite(actual) or not math.isfinite(expected):
            return False
        return abs(actual - expected) <= max(self.least, self.part * abs(expected))


class Marks:
    """`pytest.mark.anything(…)`, which changes nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: lambda function: function


def stand_in() -> types.ModuleType:
    """The part of pytest that tests may use."""
    module = types.ModuleType("pytest")
    module.__dict__.update(raises=Raises, approx=Approx, mark=Marks())
    return module


def run_one(path: str, function: str, answer: str) -> None:
    """Load the file, run one test, write how it did and end the process, which is its own."""
    sys.modules["pytest"] = stand_in()
    outcome: dict[str, Any] = {"status": "passed"}
    stage = "error"
    folder = tempfile.mkdtemp(prefix="mechagym-test-")
    try:
        space: dict[str, Any] = {"__name__": "mechagym_tests"}
        exec(compile(Path(path).read_text("utf-8"), path, "exec"), space)  # noqa: S102
        test = space[function]
        stage = "failed"
        names = test.__code__.co_varnames[: test.__code__.co_argcount]
        test(**({"tmp_path": Path(folder)} if "tmp_path" in names else {}))
    except BaseException as error:  # noqa: BLE001 – a test may also try to leave
        outcome = failure(error, path, stage)
    shutil.rmtree(folder, ignore_errors=True)
    Path(answer).write_text(json.dumps(outcome), "utf-8")
    os._exit(0)  # what the test left running in threads ends here


def failure(error: BaseException, path: str, status: str) -> dict[str, Any]:
    """How a test failed: where in its own file, and what was compared."""
    trail = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trail if frame.filename == path]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    text = str(error) or (frames[-1].line if frames else "") or ""
    found: dict[str, Any] = {
        "status": status,
        "exception": type(error).__name__,
        "missing": error.name if isinstance(error, ImportError) else None,
        "line": line,
        "message": f"{type(error).__name__}: {text}"[:MESSAGE_CHARS],
    }
    if isinstance(error, AssertionError) and frames:
        found.update(compared(error, path, frames[-1].lineno or 0))
    return found


def compared(error: BaseException, path: str, line: int) -> dict[str, Any]:
    """Both sides of a failed comparison, evaluated again where that does nothing else."""
    values: dict[str, Any] = {}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            values = dict(trace.tb_frame.f_globals, **trace.tb_frame.f_locals)
        trace = trace.tb_next
    for node in ast.walk(ast.parse(Path(path).read_text("utf-8"))):
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or 0):
            test = node.test
            calls = [inner for inner in ast.walk(test) if isinstance(inner, ast.Call)]
            quiet = all(isinstance(c.func, ast.Name) and c.func.id in QUIET for c in calls)
            if isinstance(test, ast.Compare) and len(test.ops) == 1 and quiet:
                right = test.comparators[0]
                return {"actual": shown(test.left, values), "expected": shown(right, values)}
    return {}


def shown(node: ast.expr, values: dict[str, Any]) -> str | None:
    """The value of an expression, as text."""
    try:
        code = compile(ast.Expression(node), "<compared>", "eval")
        return repr(eval(code, values))[:MESSAGE_CHARS]  # noqa: S307
    except Exception:  # noqa: BLE001 – a repr may do anything
        return None


def run_test(folder: Path, test: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Run a test in a forked process with a session of its own, and end what is left of it."""
    handle, answer = tempfile.mkstemp(prefix="mechagym-answer-")
    os.close(handle)
    began = time.monotonic()
    sys.stdout.flush()
    child = os.fork()  # a new interpreter would cost more than most tests
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        run_one(str(folder / test["file"]), test["function"], answer)
    late = not ended(child, began + timeout_s)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if late:
        os.waitpid(child, 0)
    said = Path(answer).read_text("utf-8")
    os.unlink(answer)  # noqa: PTH108
    if said and not late:
        outcome: dict[str, Any] = json.loads(said)
    else:
        why = f"it did not end within {timeout_s:g} s" if late else "its process ended by itself"
        outcome = {"status": "failed", "exception": "Died", "message": why}
    duration_ms = round((time.monotonic() - began) * 1000, 3)
    place = {"name": test["test_id"], "function": test["function"], "file": test["file"]}
    return {**place, **outcome, "duration_ms": duration_ms, "timed_out": late}


def ended(child: int, deadline: float) -> bool:
    """Wait for a process, with looks that become rarer."""
    pause_s = 0.001
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
    return True


class Workspace:
    """A folder whose files are known, so that what a test changes can be told and undone."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.room = KEPT_BYTES
        self.kept: dict[str, bytes] = {}
        self.stats: dict[str, tuple[Any, ...]] = {}
        self.first = True
        self.known = self.look()
        self.first = False

    def look(self) -> dict[str, tuple[Any, ...]]:
        """Path → mode and content of everything there is."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = os.path.join(folder, name)  # noqa: PTH118
                with suppress(OSError):
                    found[path] = self.state(path)
        return found

    def state(self, path: str) -> tuple[Any, ...]:
        """What a file is; read again only where its times or size differ."""
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return (info.st_mode, os.readlink(path))  # noqa: PTH115
        if not stat.S_ISREG(info.st_mode):
            return (info.st_mode, info.st_uid, info.st_gid)
        seen = (info.st_mtime_ns, info.st_size, info.st_ino)
        if self.stats.get(path, ())[:3] != seen:
            self.stats[path] = (*seen, self.digest(path, info))
        return (info.st_mode, info.st_uid, info.st_gid, self.stats[path][3])

    def digest(self, path: str, info: os.stat_result) -> str:
        """What is in a file; of a big one, when it was written."""
        if info.st_size > BIG_BYTES:
            return f"{info.st_size} {info.st_mtime_ns}"
        data = Path(path).read_bytes()
        if self.first and len(data) <= self.room:
            self.kept[path] = data
            self.room -= len(data)
        return hashlib.sha256(data).hexdigest()

    def restore(self) -> list[str]:
        """Undo what was changed since the beginning, and tell it."""
        now = self.look()
        changed = [p for p in {**self.known, **now} if self.known.get(p) != now.get(p)]
        for path in sorted(set(now) - set(self.known), reverse=True):
            with suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)  # noqa: PTH106,PTH108,PTH112
        for path in sorted(set(changed) & set(self.known)):
            with suppress(OSError):
                self.put_back(path)
        return sorted(changed)

    def put_back(self, path: str) -> None:
        """Make a file or folder what it was."""
        mode = self.known[path][0]
        if stat.S_ISLNK(mode):
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            os.symlink(self.known[path][1], path)  # noqa: PTH211
            return
        if stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
        elif path in self.kept:
            Path(path).write_bytes(self.kept[path])
        os.chown(path, self.known[path][1], self.known[path][2])
        os.chmod(path, stat.S_IMODE(mode))  # noqa: PTH101


def chosen(folder: Path, only: str) -> list[dict[str, Any]]:
    """The tests of the manifest that are to run, in order."""
    listed = json.loads((folder / "suite.json").read_text("utf-8"))["tests"]
    wanted = set(only.split(",")) if only else None
    return [test for test in listed if wanted is None or test["test_id"] in wanted]


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Run all passes; the exit code is that of the first."""
    folder = Path(options.folder)
    began = time.monotonic()
    workspace = Workspace(options.watch) if options.watch else None
    tests = chosen(folder, options.only)
    passes = [
        run_pass(options, tests[::-1] if number % 2 else tests, workspace)
        for number in range(options.passes)
    ]
    passed = bool(passes[0]) and all(result["status"] == "passed" for result in passes[0])
    return {
        "runner": "mechagym",
        "version": VERSION,
        "exit_code": 0 if passed else 1,
        "duration_s": round(time.monotonic() - began, 3),
        "tests": passes[0],
        "again": passes[1:],
    }


def run_pass(
    options: argparse.Namespace, tests: list[dict[str, Any]], workspace: Workspace | None
) -> list[dict[str, Any]]:
    """Run the tests one after the other; past the total time the rest has failed."""
    deadline = time.monotonic() + options.total
    results = []
    for test in tests:
        left = deadline - time.monotonic()
        if left > 0:
            result = run_test(Path(options.folder), test, min(options.timeout, left))
            result["changed"] = workspace.restore() if workspace else []
        else:
            place = {"name": test["test_id"], "function": test["function"], "file": test["file"]}
            why = "the suite's time was over"
            result = {**place, "status": "failed", "exception": "Died", "message": why}
        results.append(result)
    return results


def main() -> int:
    """Run them and say how they did."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # what tests start leaves no caches either
    sys.dont_write_bytecode = True
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--only", default="")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--total", type=float, default=math.inf)
    parser.add_argument("--watch", default="")
    report = run_all(parser.parse_args())
    sys.stdout.write(json.dumps(report) + "\n")
    return int(report["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
