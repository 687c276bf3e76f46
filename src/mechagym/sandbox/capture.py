"""What is kept of a command's output: the head and the tail of each stream, in constant memory."""

from collections.abc import Callable

from mechagym.sandbox.base import MIB, ExecOptions, Stream

MARK = b"\x1e"
REPLY_BYTES = 64 * MIB


class Capture:
    """The first and the last bytes of one stream; `total` counts all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take what came, keep what fits."""
        self.total += len(data)
        room = self._limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._limit :] if self._limit else b""
            if len(self._tail) > 2 * self._limit:
                del self._tail[: -self._limit]

    def bytes(self) -> bytes:
        """All of it, or head and tail around a note of what is left out; within the limit."""
        if self.total <= self._limit:
            return bytes(self._head)
        note = b""
        for _ in range(3):  # the note takes room itself, and its number may grow a digit by that
            left_out = self.total - self._limit + len(note)
            note = f"\n[… {left_out} bytes left out …]\n".encode()
        room = self._limit - len(note)
        if room < 2:
            return bytes(self._head)
        end = (self._head + self._tail)[-(room // 2) :]
        return bytes(self._head[: room - len(end)]) + note + bytes(end)


class Sieve:
    """Takes the marker lines of one nonce out of a stream, whatever else is in it.

    A marker is a record separator, the nonce (32 random hex digits), a space and text up to a
    newline. What only looks like one passes through untouched, even cut at any byte.
    """

    def __init__(self, nonce: str, read: Callable[[bytes], bool]) -> None:
        """`read` takes the text of each marker and says whether it was the last."""
        self.ended = False
        self._mark = MARK + nonce.encode() + b" "
        self._read = read
        self._held = b""

    def strain(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes as they came; give those that are no marker, and those after the last one."""
        data, self._held = self._held + data, b""
        passed = []
        while data and not self.ended:
            at = data.find(self._mark)
            end = data.find(b"\n", at) if at >= 0 else -1
            if end < 0:
                at = self._possible_mark(data) if at < 0 else at
                self._held = data[at:]
                passed.append(data[:at])
                return b"".join(passed), b""
            passed.append(data[:at])
            self.ended = self._read(data[at + len(self._mark) : end])
            data = data[end + 1 :]
        return b"".join(passed), data

    def flush(self) -> bytes:
        """What was held back as the start of a marker that never came."""
        held, self._held = self._held, b""
        return held

    def _possible_mark(self, data: bytes) -> int:
        at = data.rfind(MARK, max(0, len(data) - len(self._mark)))
        while at >= 0 and not self._mark.startswith(data[at:]):
            at = data.rfind(MARK, max(0, len(data) - len(self._mark)), at)
        return at if at >= 0 else len(data)


class Tap:
    """One stream of one command: passes bytes on until the end marker, whose fields it keeps.

    The marker with the field `+` says that the shell has begun.
    """

    def __init__(self, stream: Stream, nonce: str, options: ExecOptions) -> None:
        self.capture = Capture(options.limit_bytes)
        self.started = False
        self.fields: list[str] | None = None
        self._stream = stream
        self._on_output = options.on_output
        self._sieve = Sieve(nonce, self._read)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came; what follows the end marker belongs to nobody."""
        if self.fields is None:
            self._pass(self._sieve.strain(data)[0])

    def flush(self) -> None:
        """Pass on what was held back."""
        self._pass(self._sieve.flush())

    def _read(self, marker: bytes) -> bool:
        fields = marker.decode("ascii", "replace").split()
        if fields == ["+"]:
            self.started = True
        else:
            self.fields = fields
        return self.fields is not None

    def _pass(self, data: bytes) -> None:
        if data:
            self.capture.add(data)
            if self._on_output is not None:
                self._on_output(self._stream, data)


class Taps:
    """Both streams of one command. `ended` once each showed its marker."""

    def __init__(self, nonce: str, options: ExecOptions) -> None:
        self.nonce = nonce
        self.stdout = Tap("stdout", nonce, options)
        self.stderr = Tap("stderr", nonce, options)

    @property
    def started(self) -> bool:
        """Whether the shell had begun."""
        return self.stdout.started

    @property
    def ended(self) -> bool:
        """Whether the command's last byte is in."""
        return self.stdout.fields is not None and self.stderr.fields is not None

    @property
    def code(self) -> int:
        """What the marker says first: the exit code, or the pid of what goes on."""
        return int((self.stdout.fields or ["0"])[0])

    @property
    def strays(self) -> bool:
        """Whether the command may have left somebody who holds its output."""
        return self.stdout.fields is not None and self.stdout.fields[1:] != ["0"]

    @property
    def guard(self) -> int:
        """The pid of the guard that a greeting brought (see `shell.GUARD`); 0: none."""
        return int(next(iter((self.stdout.fields or [])[2:]), "0"))

    def feed(self, stream: Stream, data: bytes) -> None:
        """Sort bytes to their stream."""
        (self.stdout if stream == "stdout" else self.stderr).feed(data)

    def flush(self) -> None:
        """The streams ended without markers."""
        self.stdout.flush()
        self.stderr.flush()


class Reply:
    """What the control lane tells (see `shell.telling`), out of a stdout that others write to."""

    def __init__(self, nonce: str) -> None:
        self.nonce = nonce
        self._lines: list[bytes] = []
        self._room = REPLY_BYTES
        self._sieve = Sieve(nonce, self._read)

    @property
    def ended(self) -> bool:
        """Whether the last line is in."""
        return self._sieve.ended

    @property
    def text(self) -> bytes:
        """The lines that were told."""
        return b"".join(line + b"\n" for line in self._lines)

    def strain(self, data: bytes) -> bytes:
        """Take what belongs here, give the rest."""
        return b"".join(self._sieve.strain(data))

    def _read(self, line: bytes) -> bool:
        self._room -= len(line)
        if line != b"." and self._room >= 0:
            self._lines.append(line)
        return line == b"."
