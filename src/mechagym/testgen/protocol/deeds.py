"""What an agent did, read from its tool calls: which files it named, which it wrote, what it ran.

Read is what a call says, not what it means: a path in a command is a file that was looked at, and
a file is written where a call says so in a way that has no other reading (a tool that writes, a
redirection, `tee`, `cp`, `mv`, `sed -i`). What a program writes by itself is not seen here.
"""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mechagym.events import Event, ToolCalled, ToolReturned
from mechagym.records import Json

_PATHS = ("file_path", "path", "notebook_path", "filePath", "target_file")
_WRITERS = re.compile(r"write|edit|create|replace|patch|file_change", re.IGNORECASE)
_SUBAGENTS = frozenset({"agent", "task", "subagent", "spawn_agent", "collab_tool_call"})
_HEREDOC = re.compile(
    r"^([^\n]*?)<<-?\s*(['\"]?)(\w+)\2([^\n]*)\n(.*?)^\s*\3\s*$", re.DOTALL | re.MULTILINE
)
_SHELL = re.compile(r"(?:^|[;&|(])\s*(?:\S*/)?(?:ba|da|z|k)?sh\b[^;&|]*$")
_LAST_IS_TARGET = frozenset({"cp", "mv", "install", "ln"})
_ENDS = frozenset({";", "&&", "||", "|", "&", "(", ")", "|&"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One tool call with its result; `ok` and `output` None: it never returned.

    `said` is all that was written into the call; `wrote` are paths as far as they are known:
    a relative one is meant from the working directory.
    """

    seq: int
    said: str
    command: str | None
    wrote: tuple[str, ...]
    sub_agent: bool
    ok: bool | None = None
    output: str | None = None
    returned_seq: int | None = None

    def names(self, path: str) -> bool:
        """Whether the call names this file: by its path, or by its name where that is all."""
        pattern = rf"(?<![\w.-]){re.escape(posixpath.basename(path))}(?![\w-])"
        return path in self.said or re.search(pattern, self.said) is not None


def deeds_of(events: Sequence[Event]) -> list[Deed]:
    """All tool calls in order, each with its result."""
    returned = {e.body.call_id: (e.seq, e.body) for e in events if isinstance(e.body, ToolReturned)}
    return [
        _deed(event.seq, event.body, returned.get(event.body.call_id))
        for event in events
        if isinstance(event.body, ToolCalled)
    ]


def _deed(seq: int, call: ToolCalled, result: tuple[int, ToolReturned] | None) -> Deed:
    command = _command(call.arguments)
    return Deed(
        seq=seq,
        said="\n".join(_texts(call.arguments)),
        command=command,
        wrote=tuple(_written_by_tool(call) if command is None else written_by(command)),
        sub_agent=call.tool.lower() in _SUBAGENTS,
        ok=None if result is None else not result[1].is_error,
        output=None if result is None else result[1].output,
        returned_seq=None if result is None else result[0],
    )


def _command(arguments: dict[str, Json]) -> str | None:
    """The text that a shell runs: of `bash -lc TEXT`, as argv or as one line, that is TEXT."""
    command = arguments.get("command", arguments.get("cmd"))
    if isinstance(command, list):
        words = [str(word) for word in command]
        return _inner(words) or shlex.join(words)
    if not isinstance(command, str):
        return None
    try:
        return _inner(shlex.split(command)) or command
    except ValueError:  # a quote without its end
        return command


def _inner(words: Sequence[str]) -> str | None:
    if len(words) == 3 and words[0].endswith("sh") and words[1] in ("-c", "-lc"):
        return words[2]
    return None


def _written_by_tool(call: ToolCalled) -> Iterator[str]:
    if not _WRITERS.search(call.tool):
        return
    for place in (call.arguments, *_listed(call.arguments.get("changes"))):
        for name in _PATHS:
            if isinstance(path := place.get(name), str):
                yield posixpath.normpath(path)


def _listed(changes: Json) -> list[dict[str, Json]]:
    if isinstance(changes, dict):  # path → change
        return [{"path": path} for path in changes]
    return [each for each in changes or () if isinstance(each, dict)]


def written_by(command: str) -> Iterator[str]:
    """The files that a shell command says it writes."""
    cwd = ""
    for words in _simple_commands(_unfolded(command)):
        program = posixpath.basename(words[0]) if words else ""
        if program == "cd" and len(words) > 1:
            cwd = posixpath.join(cwd, words[1])
        for target in _targets(words, program):
            path = target.strip("'\"")
            if not path.startswith("/dev/") and not path.isdigit():
                yield posixpath.normpath(posixpath.join(cwd, path))


def _unfolded(command: str) -> str:
    """The command without its here-documents; what is fed to a shell stands in their place."""

    def inner(found: "re.Match[str]") -> str:
        before, _, _, after, body = found.groups()
        fed = _unfolded(body) if _SHELL.search(before) else ""
        return f"{before}{after}\n{fed}"

    return _HEREDOC.sub(inner, command)


def _targets(words: Sequence[str], program: str) -> Iterator[str]:
    plain: list[str] = []
    for before, word in pairwise(words):
        if _is_arrow(before):
            yield word
        elif not word.startswith(("-", "<")) and not before.startswith("<") and not _is_arrow(word):
            plain.append(word)
    if program in _LAST_IS_TARGET and len(plain) > 1:
        yield plain[-1]
    elif program in ("tee", "touch"):
        yield from plain
    elif program == "sed" and any(word.startswith(("-i", "--in-place")) for word in words):
        yield from plain[-1:]


def _is_arrow(word: str) -> bool:
    return word in (">", ">>", ">|", "&>", "&>>")


def _simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each command; quotes stay on a word, so that a quoted `>` is no arrow."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=False, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if word in _ENDS or set(word) <= {";", "&", "|"}:
                yield words
                words = []
            else:
                words.append(word)
    except ValueError:  # a quote without its end: what came before it is known
        pass
    yield words


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
