"""Lines out of a stream of bytes, in bounded memory."""

from collections.abc import Iterator

MAX_LINE_BYTES = 16 * 1024 * 1024


class Lines:
    """Cuts what comes in pieces into lines; one that is longer than allowed is passed over."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._begun = bytearray()
        self._skipping = False
        self.skipped = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in these bytes, without their ends."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            if line := self._end(part):
                yield line
        self._add(rest)

    def last(self) -> Iterator[bytes]:
        """What came after the last end of a line."""
        if line := self._end(b""):
            yield line

    def _add(self, part: bytes) -> None:
        if len(self._begun) + len(part) > self._max_bytes and not self._skipping:
            self._skipping = True
            self.skipped += 1
        if self._skipping:
            self._begun.clear()
        else:
            self._begun += part

    def _end(self, part: bytes) -> bytes:
        self._add(part)
        line = b"" if self._skipping else bytes(self._begun).strip()
        self._begun.clear()
        self._skipping = False
        return line
