"""`mechagym view` as a process of its own, and what a browser would do with it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

WAIT_S = 60.0


@dataclass(slots=True, kw_only=True)
class View:
    """A running `mechagym view`. `out` and `err` are all it said."""

    process: subprocess.Popen[str]
    port: int
    token: str
    said: str

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """A request whose path is sent to the letter."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        known = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, {**known, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """A JSON answer that must be a success."""
        status, body = self.raw("GET", f"/api/v1{path}")
        assert status == 200, body
        return json.loads(body)

    def ask(self, path: str, body: Any) -> int:
        """Ask for something; the op's id."""
        key = uuid4().hex
        status, said = self.raw("POST", f"/api/v1{path}", body, **{"Idempotency-Key": key})
        assert status == 202, said
        return int(json.loads(said)["op_id"])

    def ended(self, op_id: int) -> Any:
        """An op, once it has ended."""
        until = time.monotonic() + WAIT_S
        while True:
            op = self.get(f"/ops/{op_id}")
            if op["state"] in ("done", "refused"):
                return op
            assert time.monotonic() < until, op
            time.sleep(0.1)

    @contextmanager
    def stream(self, query: str, **headers: str) -> Iterator["Stream"]:
        """Follow topics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        token = {"Authorization": f"Bearer {self.token}"}
        connection.request("GET", f"/api/v1/stream?{query}", headers={**token, **headers})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield Stream(answer=answer)
        finally:
            answer.close()
            connection.close()


@dataclass(slots=True, kw_only=True)
class Stream:
    """Server-sent events as they come."""

    answer: http.client.HTTPResponse
    last_id: str = ""

    def messages(self) -> Iterator[tuple[str, str]]:
        """Each message: its kind and data."""
        kind, data = "message", ""
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
            elif not name and data:
                yield kind, data
                kind, data = "message", ""

    def events(self) -> Iterator[dict[str, Any]]:
        """Each event of each batch."""
        for kind, data in self.messages():
            assert kind == "message", (kind, data)
            yield from json.loads(data)


@contextmanager
def viewed(home: Path, *flags: str, environ: Mapping[str, str] | None = None) -> Iterator[View]:
    """Run it on a free port; ended as Ctrl-C would."""
    with (home / "view.err").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "mechagym", "view", "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=home / "here",
            env={**os.environ, **(environ or {})},
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        parts = urlsplit(url)
        assert parts.port, (home / "view.err").read_text()
        token = parse_qs(parts.query)["token"][0]
        yield View(process=process, port=parts.port, token=token, said=url)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)
        process.stdout.close()
