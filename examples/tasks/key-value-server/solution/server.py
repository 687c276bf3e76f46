"""A key-value server in memory: one thread per connection, one lock around the values."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

VALUES = {}
LOCK = threading.Lock()


class Server(ThreadingHTTPServer):
    """Many clients may knock at once."""

    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    """The requests of the table."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nobody reads a log here."""

    def answer(self, status, body=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def parts(self):
        """The decoded parts of the path: ['keys', NAME, …]."""
        return [unquote(part) for part in self.path.split("?")[0].split("/")[1:]]

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self):
        value = self.body()
        match self.parts():
            case ["keys", name] if name:
                with LOCK:
                    status = 204 if name in VALUES else 201
                    VALUES[name] = value
                self.answer(status)
            case _:
                self.answer(404)

    def do_GET(self):
        match self.parts():
            case ["keys"]:
                with LOCK:
                    names = sorted(VALUES)
                self.answer(200, json.dumps(names).encode())
            case ["keys", name]:
                with LOCK:
                    value = VALUES.get(name)
                self.answer(404) if value is None else self.answer(200, value)
            case _:
                self.answer(404)

    def do_DELETE(self):
        match self.parts():
            case ["keys", name]:
                with LOCK:
                    known = VALUES.pop(name, None) is not None
                self.answer(204 if known else 404)
            case _:
                self.answer(404)

    def do_POST(self):
        self.body()
        match self.parts():
            case ["keys", name, "increment"] if name:
                try:
                    with LOCK:
                        number = int(VALUES.get(name, b"0")) + 1
                        VALUES[name] = b"%d" % number
                except ValueError:
                    self.answer(409)
                else:
                    self.answer(200, b"%d" % number)
            case _:
                self.answer(404)


Server(("127.0.0.1", 8765), Handler).serve_forever()
