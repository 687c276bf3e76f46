"""The Docker engine of this machine: asking it, and starting it where nothing else does."""

import http.client
import os
import socket
import subprocess
import time
from pathlib import Path

from parts.commands import SYSTEM_PATH

SOCKET = Path("/var/run/docker.sock")
DAEMON = Path("/usr/sbin/dockerd")
LOG = Path("/var/log/dockerd.log")


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(str(SOCKET))


def ask(path: str) -> tuple[int, bytes]:
    """GET from the engine's API: status and body; 0 where nobody answers."""
    connection = EngineConnection("localhost")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def answers() -> bool:
    """Whether a Docker engine listens on its usual socket."""
    return ask("/_ping")[0] == 200


def start(patience_s: float = 60) -> list[str]:
    """Start dockerd, which outlives this script, and wait for its socket."""
    if not DAEMON.exists():
        return []
    print(f"starting dockerd; its log is {LOG}", flush=True)
    with LOG.open("ab") as log:
        engine = subprocess.Popen(
            [str(DAEMON)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": SYSTEM_PATH},
        )
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and engine.poll() is None:
        if answers():
            return []
        time.sleep(0.2)
    tail = "\n  ".join(LOG.read_text(errors="replace").splitlines()[-8:])
    return [f"dockerd does not answer\n  {tail}"]
