"""How much of an output is shown: its head and its tail, and between them a notice that is true."""

import codecs
from dataclasses import dataclass

HEAD_CHARS, TAIL_CHARS = 20_000, 10_000
SHOWN_CHARS = HEAD_CHARS + TAIL_CHARS
KEPT_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command or a file gave. `text` is all of it up to what is kept, `tail` its end where
    that is more; the counts are of all.
    """

    text: str
    chars: int
    lines: int
    tail: str = ""

    @property
    def whole(self) -> bool:
        """Whether `text` is all."""
        return len(self.text) == self.chars


class Gathering:
    """Takes an output as it comes, in bounded memory."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept: list[str] = []
        self._bytes = self._chars = self._lines = 0
        self._tail = ""

    def add(self, data: bytes) -> None:
        """Count all, keep what fits and the end."""
        room = KEPT_BYTES - self._bytes
        self._bytes += len(data)
        self._take(self._decoder.decode(data), keep=room > 0)

    def output(self) -> Output:
        """All that came."""
        self._take(self._decoder.decode(b"", final=True), keep=self._bytes <= KEPT_BYTES)
        text = "".join(self._kept)
        tail = (text[-TAIL_CHARS:] + self._tail)[-TAIL_CHARS:] if len(text) < self._chars else ""
        return Output(text=text, chars=self._chars, lines=self._lines, tail=tail)

    def _take(self, text: str, *, keep: bool) -> None:
        self._chars += len(text)
        self._lines += text.count("\n")
        if keep:
            self._kept.append(text)
        else:
            self._tail = (self._tail + text)[-2 * TAIL_CHARS :]


def of_text(text: str) -> Output:
    """An output that is at hand."""
    return Output(text=text, chars=len(text), lines=text.count("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The two ends of an output that is shown in part."""

    head: str
    tail: str
    chars: int
    lines: int

    @property
    def shown_chars(self) -> int:
        """How many characters of the output are shown."""
        return len(self.head) + len(self.tail)

    def text(self, kept: str) -> str:
        """With the notice between the ends; `kept` says where all of it is."""
        head = self.head if self.head.endswith("\n") else f"{self.head}\n"
        left_out = f"{self.chars} characters and {self.lines} lines are left out here"
        return f"{head}[… {left_out}; {kept} …]\n{self.tail}"


def cut(output: Output, scale: float = 1.0) -> Cut | None:
    """Cut at line ends; None where all of it is shown. `scale` below 1: a small window."""
    head_chars, tail_chars = int(HEAD_CHARS * scale), int(TAIL_CHARS * scale)
    if output.chars <= head_chars + tail_chars and output.whole:
        return None
    head = _head(output.text, head_chars)
    tail = _tail(output.tail or output.text, tail_chars)
    shown_lines = head.count("\n") + tail.count("\n")
    return Cut(
        head=head,
        tail=tail,
        chars=output.chars - len(head) - len(tail),
        lines=output.lines - shown_lines,
    )


def _head(text: str, limit: int) -> str:
    """Up to the last line end within the limit; a line that is longer is cut inside."""
    head = text[:limit]
    end = head.rfind("\n") + 1
    return head[:end] if end else head


def _tail(text: str, limit: int) -> str:
    tail = text[-limit:]
    begin = tail.find("\n") + 1
    return tail[begin:] if 0 < begin < len(tail) else tail
