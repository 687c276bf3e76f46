"""Whether a text gives away something of the tasks that it will be measured on.

The list is drawn from the tasks themselves: names, files, tests, literals, canaries, and runs of
words shared with tests, solution or instruction. A finding names the rule and never the matched
text, since that would carry it on. What is encoded in base64 or hex is looked at decoded as well.
"""

import ast
import base64
import binascii
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mechagym.errors import ConfigError
from mechagym.tasks.model import Task

LITERAL_CHARS, SHARED_CHARS = 12, 40
SHARED_WORDS, INSTRUCTION_WORDS = 8, 12
RARE = 2
MAX_FILE_BYTES = 256 * 1024

_PATH = re.compile(
    r"(?<![\w.~/-])(?:/[\w.-]+){2,}/?|(?<![\w./-])[\w-]+\.[A-Za-z][A-Za-z0-9]{0,4}\b"
)
_GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_TEST_NAME = re.compile(r"\b(?:def|function)\s+(test\w+)|\b(test_\w{3,})\s*\(\)")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\\n]|\\.){12,})\1""")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_COMMON = frozenset({"task.toml", "instruction.md", "test.sh", "solve.sh", "e.g", "i.e"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakList:
    """What no text may say, by rule; texts are compared folded, with white space squeezed."""

    terms: dict[str, frozenset[str]]
    words: frozenset[str] = field(default_factory=frozenset)
    runs: dict[int, frozenset[str]] = field(default_factory=dict)
    stretches: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> "LeakList":
        """Draw the list, and see that it finds one planted leak of each kind.

        Raises ConfigError where there is nothing to draw from, or a planted leak is not found.
        """
        folders = [_Folder.of(task) for task in tasks]
        names = {name for task in tasks for name in _spellings(task.name)}
        made = cls(
            terms={
                "task_id": frozenset(name for name in names if not name.isalpha()),
                "file_name": frozenset(_rare(folder.paths for folder in folders)),
                "test_name": frozenset(name for folder in folders for name in folder.test_names),
                "literal": frozenset(text for folder in folders for text in folder.literals),
                "canary": frozenset(text for folder in folders for text in folder.canaries),
            },
            words=frozenset(name for name in names if name.isalpha()),
            runs={
                SHARED_WORDS: _windows((f.guarded for f in folders), SHARED_WORDS),
                INSTRUCTION_WORDS: _windows((f.instruction for f in folders), INSTRUCTION_WORDS),
            },
            stretches=frozenset(line for f in folders for line in _stretches(f.guarded)),
        )
        made._prove()
        return made

    def rule_of(self, text: str) -> str | None:
        """The rule that a text breaks; None: it may stand."""
        for shown in (text, *_decoded(text)):
            if rule := self._rule_of(fold(shown)):
                return rule
        return None

    def _rule_of(self, text: str) -> str | None:
        for rule, terms in self.terms.items():
            if any(_stands(term, text) for term in terms):
                return rule
        if any(re.search(rf"[\"'`/]{re.escape(word)}[\"'`/]", text) for word in self.words):
            return "task_id"
        split = text.split()
        for length, runs in self.runs.items():
            if any(" ".join(split[n : n + length]) in runs for n in range(len(split) - length + 1)):
                return "shared_words"
        starts = range(len(text) - SHARED_CHARS + 1)
        if any(text[n : n + SHARED_CHARS] in self.stretches for n in starts):
            return "shared_text"
        return None

    def _prove(self) -> None:
        """An empty list, or one that misses what is planted, would pass everything."""
        planted = [*(next(iter(sorted(terms)), None) for terms in self.terms.values())]
        planted += [f'"{word}"' for word in sorted(self.words)[:1]]
        planted += [next(iter(sorted(runs)), None) for runs in self.runs.values()]
        found = [text for text in planted if text]
        if not found:
            raise ConfigError("the list of leaks is empty: no task has anything to give away")
        encoded: list[Callable[[str], str]] = [
            str,
            lambda text: base64.b64encode(text.encode()).decode(),
            lambda text: text.encode().hex(),
        ]
        for text in found:
            for encode in encoded:
                if len(text) >= LITERAL_CHARS and self.rule_of(f"So: {encode(text)} .") is None:
                    raise ConfigError("the leak lint does not find what was planted for it")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """What one task has to give away."""

    instruction: str
    guarded: str
    paths: frozenset[str]
    test_names: frozenset[str]
    literals: frozenset[str]
    canaries: frozenset[str]

    @classmethod
    def of(cls, task: Task) -> "_Folder":
        secret = [path for step in task.steps for path in _files(step.tests_dir, step.solution_dir)]
        texts = [_text(path) for path in secret]
        instruction = "\n".join(step.instruction for step in task.steps)
        everything = [instruction, *texts]
        lines = [line for text in everything for line in text.splitlines()]
        files = {path.name for path in secret} - _COMMON
        return cls(
            instruction=fold(instruction),
            guarded=fold("\n".join(texts)),
            paths=frozenset(fold(match) for text in everything for match in _PATH.findall(text))
            - _COMMON,
            test_names=frozenset(map(fold, files))
            | {fold(one or other) for text in texts for one, other in _TEST_NAME.findall(text)},
            literals=frozenset(fold(found) for text in texts for found in _literals(text)),
            canaries=frozenset(fold(line) for line in lines if "canary" in line.lower())
            | {fold(guid) for text in everything for guid in _GUID.findall(text)},
        )


def fold(text: str) -> str:
    """As texts are compared: NFKC, case folded, white space squeezed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _spellings(name: str) -> Iterator[str]:
    for joint in "-_ ":
        yield fold(re.sub(r"[-_ ]", joint, name))


def _stands(term: str, text: str) -> bool:
    """Whether a term stands in a text by itself, and not within a longer word."""
    at = text.find(term)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(term) : at + len(term) + 1]
        if not (before.isalnum() or after.isalnum()):
            return True
        at = text.find(term, at + 1)
    return False


def _rare(found: Iterable[frozenset[str]]) -> Iterator[str]:
    """What few tasks say: what many say gives none of them away."""
    counts = Counter(path for paths in found for path in paths)
    return (path for path, count in counts.items() if count <= RARE and len(path) > 4)


def _literals(text: str) -> Iterator[str]:
    """String literals of 12 characters or more; of what is no Python, what stands in quotes."""
    try:
        values = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
    except (SyntaxError, ValueError):
        values = [match[1] for match in _QUOTED.findall(text)]
    for value in values:
        if isinstance(value, str) and len(fold(value)) >= LITERAL_CHARS:
            yield value


def _windows(texts: Iterable[str], length: int) -> frozenset[str]:
    """All runs of so many words."""
    split = [text.split() for text in texts]
    return frozenset(
        " ".join(words[n : n + length]) for words in split for n in range(len(words) - length + 1)
    )


def _stretches(text: str) -> Iterator[str]:
    return (text[n : n + SHARED_CHARS] for n in range(len(text) - SHARED_CHARS + 1))


def _decoded(text: str) -> Iterator[str]:
    """What stands behind base64 and hex, decoded once."""
    for word in _ENCODED.findall(text):
        for decode in (bytes.fromhex, _base64):
            try:
                yield decode(word).decode("utf-8")
            except (ValueError, binascii.Error):
                continue


def _base64(word: str) -> bytes:
    padded = word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4)
    return base64.b64decode(
        padded, altchars=b"-_" if set(word) & set("-_") else None, validate=True
    )


def _files(*folders: Path | None) -> Iterator[Path]:
    for folder in folders:
        if folder is not None and folder.is_dir():
            yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _text(path: Path) -> str:
    """A file as text; a big one only as far as it is worth looking."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
