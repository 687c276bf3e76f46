"""The Engine API with nothing around it: what a box costs before anybody adds to it.

A blocking client on the standard library. The other side of every comparison with Docker.
"""

import http.client
import json
import socket
from typing import Any

SOCKET = "/var/run/docker.sock"


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


class RawDocker:
    """One kept-alive connection to the engine."""

    def __init__(self) -> None:
        self._http = _Connection("docker", timeout=120)

    def call(self, method: str, path: str, body: Any = None) -> bytes:
        """One request; raises RuntimeError for a status from 400 on."""
        data = b"" if body is None else json.dumps(body).encode()
        return self._send(method, path, data)

    def _send(self, method: str, path: str, data: bytes) -> bytes:
        self._http.request(method, path, data, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()}")
        return answer

    def open(self, image: str, *, network: str = "none") -> str:
        """Create and start a container that sleeps; return its id."""
        asked = {
            "Image": image,
            "Entrypoint": ["sleep", "1000"],
            "HostConfig": {"NetworkMode": network, "Init": True},
        }
        container = json.loads(self.call("POST", "/containers/create", asked))["Id"]
        self.call("POST", f"/containers/{container}/start")
        return str(container)

    def exec(self, container: str, *argv: str) -> bytes:
        """Run a command to its end; return its raw stream."""
        asked = {"Cmd": argv, "AttachStdout": True, "AttachStderr": True}
        made = json.loads(self.call("POST", f"/containers/{container}/exec", asked))["Id"]
        return self.call("POST", f"/exec/{made}/start", {"Detach": False})

    def put(self, container: str, archive: bytes, path: str) -> None:
        """Unpack a tar archive in the container."""
        self._send("PUT", f"/containers/{container}/archive?path={path}", archive)

    def commit(self, container: str) -> str:
        """Make an image of a container, paused meanwhile; return its id."""
        return str(json.loads(self.call("POST", f"/commit?container={container}&pause=1"))["Id"])

    def close(self, container: str) -> None:
        """Remove the container with its volumes."""
        self.call("DELETE", f"/containers/{container}?force=1&v=1")
