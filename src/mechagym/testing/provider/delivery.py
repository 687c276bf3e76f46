"""How an answer travels: in which pieces, how slowly, and where it breaks off."""

import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio

from mechagym.testing.provider.turns import Failure, Trouble

_CHARACTER_BEGINS = re.compile(rb"(?<=[\xc0-\xff])")


class CutError(Exception):
    """The connection ends here, by the script."""


def pieces(parts: Iterable[bytes], trouble: Trouble) -> Iterator[bytes]:
    """The parts of a body as they go out, one write each."""
    if size := trouble.piece_bytes:
        body = b"".join(parts)
        yield from (body[start : start + size] for start in range(0, len(body), size))
    elif trouble.cut_characters:
        for part in parts:
            yield from filter(None, _CHARACTER_BEGINS.split(part))
    else:
        yield from parts


@dataclass(slots=True)
class Road:
    """The way of one body to its client. Raises CutError where the script says so."""

    send: Callable[[bytes], Awaitable[None]]
    trouble: Trouble
    sent_bytes: int = 0

    async def carry(self, parts: Iterable[bytes]) -> None:
        """Send everything."""
        for number, piece in enumerate(pieces(parts, self.trouble)):
            if number and self.trouble.gap_s:
                await anyio.sleep(self.trouble.gap_s)
            await self._send(_stamp() + piece if self.trouble.stamps else piece)
        if self.trouble.stall_after_bytes is not None:
            await anyio.sleep_forever()  # all is said, and the answer does not end

    async def _send(self, piece: bytes) -> None:
        ends = (self.trouble.end_after_bytes, self.trouble.stall_after_bytes)
        room = min((end for end in ends if end is not None), default=None)
        if room is not None:
            piece = piece[: room - self.sent_bytes]
        if piece:
            self.sent_bytes += len(piece)
            await self.send(piece)
        if self.sent_bytes == room:
            if room == self.trouble.end_after_bytes:
                raise CutError
            await anyio.sleep_forever()


def retry_headers(failure: Failure) -> dict[str, str]:
    """When to come again, in the form that the script names."""
    after_s = failure.retry_after_s
    if after_s is None:
        return {}
    match failure.retry_after_form:
        case "seconds":
            return {"retry-after": f"{after_s:g}"}
        case "milliseconds":
            return {"retry-after-ms": f"{after_s * 1000:g}"}
        case "date":
            then = datetime.now(UTC) + timedelta(seconds=math.ceil(after_s))
            return {"retry-after": format_datetime(then, usegmt=True)}


def _stamp() -> bytes:
    return b": %d\n" % time.monotonic_ns()
