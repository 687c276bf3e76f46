"""What an instruction forbids to use, by rules over its sentences; every find has its quote.

A model may add one, with a quote too. Whether a tool is there at all is asked of the box.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mechagym.records.testgen import ProhibitedTool
from mechagym.sandbox.base import Box, ExecOptions

_RUNTIMES: dict[str, tuple[str, ...]] = {
    "r": ("R", "Rscript", "rstan"),
    "python": ("python", "python3"),
    "java": ("java", "javac"),
    "javascript": ("node",),
    "node": ("node",),
    "typescript": ("node", "tsc"),
    "perl": ("perl",),
    "ruby": ("ruby",),
    "rust": ("rustc", "cargo"),
    "go": ("go",),
    "c": ("gcc", "cc"),
    "c++": ("g++", "clang++"),
    "fortran": ("gfortran",),
    "cobol": ("cobc",),
    "matlab": ("matlab", "octave"),
    "julia": ("julia",),
    "scala": ("scala",),
    "kotlin": ("kotlinc",),
    "haskell": ("ghc",),
    "lua": ("lua",),
    "php": ("php",),
    "bash": ("bash",),
    "awk": ("awk",),
    "stan": ("stan", "rstan"),
}
_LANGUAGE = "|".join(sorted(map(re.escape, _RUNTIMES), key=len, reverse=True))
_PAIR = re.compile(
    rf"\b(?:convert|port|translate|migrate|rewrite|reimplement|transpile)\b[^.\n]*?"
    rf"(?<![\w.+#])(?:from\s+)?(?P<source>{_LANGUAGE})(?![\w+#.]*\w)"
    rf"[^.\n]*?\b(?:in|to|into)\s+(?:a\s+|an\s+|pure\s+|plain\s+)*(?P<target>{_LANGUAGE})(?![\w+#])",
    re.IGNORECASE,
)
_FILE_PAIR = re.compile(
    rf"\b(?:convert|port|translate|migrate|rewrite|reimplement)\b[^\n]*?\w\.(?P<suffix>[A-Za-z]+)\b"
    rf"[^\n]*?\b(?:in|to|into)\s+(?:a\s+|an\s+|pure\s+|plain\s+)*(?P<target>{_LANGUAGE})(?![\w+#])",
    re.IGNORECASE,
)
_SUFFIXES = {
    "c": "c",
    "cc": "c++",
    "cpp": "c++",
    "r": "r",
    "py": "python",
    "js": "javascript",
    "ts": "typescript",
    "pl": "perl",
    "rb": "ruby",
    "java": "java",
    "go": "go",
    "rs": "rust",
    "f90": "fortran",
    "cob": "cobol",
    "m": "matlab",
    "jl": "julia",
    "lua": "lua",
    "php": "php",
    "sh": "bash",
    "stan": "stan",
}
_FORBIDS = re.compile(
    r"\b(?:without\s+(?:using|the\s+(?:use|help)\s+of|any\s+use\s+of|calling|relying\s+on|importing)"
    r"|(?:do\s+not|don't|must\s+not|mustn't|may\s+not|can\s*not|can't|shall\s+not|should\s+not"
    r"|never|not\s+allowed\s+to|forbidden\s+to)\s+(?:\w+ly\s+)?"
    r"(?:use|call|invoke|import|run|rely\s+on|depend\s+on|install|shell\s+out\s+to)"
    r"|(?:instead\s+of|rather\s+than)\s+(?:using|calling)"
    r"|no\s+use\s+of|avoid\s+(?:using|calling))\s+(?P<what>[^.;:!?\n]+)",
    re.IGNORECASE,
)
_IS_FORBIDDEN = re.compile(
    r"(?P<what>`[^`\n]+`(?:\s*(?:,|and|or)\s*`[^`\n]+`)*)\s+(?:is|are)\s+"
    r"(?:not\s+allowed|forbidden|prohibited|banned|off[- ]limits|not\s+permitted)",
    re.IGNORECASE,
)
_SCRATCH = re.compile(
    r"\b(?:from\s+scratch|write\s+your\s+own|(?:implement|build|roll)\s+your\s+own)\b",
    re.IGNORECASE,
)
_MARKED = re.compile(r"`([^`\n]+)`")
_SPLIT = re.compile(r"\s*(?:,|\bor\b|\band\b|\bnor\b|/)\s*", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:the|a|an|any|either|neither|external|existing|third[- ]party|python'?s?|built[- ]in)\s+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:module|library|libraries|package|packages|command|tool|tools|program|binary|function"
    r"|utility|here|at all|anywhere|for|in|to|on|as|when|while|because|but|which|that)\b.*$",
    re.IGNORECASE,
)
_TOOL = re.compile(r"[A-Za-z_][\w.+-]{0,39}\*?")
_STOP = re.compile(
    r"it|them|this|that|these|those|anything|something|others?|ones?|librar(?:y|ies)|external"
    r"|packages?|tools?|network|internet|loops|recursion|code|of|is",
    re.IGNORECASE,
)
SCRATCH_NAME = "a ready-made implementation"


def prohibited_in(instruction: str) -> tuple[ProhibitedTool, ...]:
    """Every tool that a sentence forbids, once, in order."""
    found: dict[str, ProhibitedTool] = {}
    for sentence in sentences(instruction):
        for name, reason in (*_converted(sentence), *_named(sentence), *_scratch(sentence)):
            tool = ProhibitedTool(name=name, reason=reason, quote=sentence)
            found.setdefault(name.lower(), tool)
    return tuple(found.values())


def sentences(text: str) -> list[str]:
    """The sentences of a Markdown text: list items and rows of tables stand alone."""
    blocks = re.split(
        r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s?)", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    )
    found: list[str] = []
    for block in blocks:
        flat = " ".join(block.split())
        found += re.split(r"(?<=[.!?])\s+(?=[A-Z`\"'(*])", flat)
    return [sentence.strip() for sentence in found if sentence.strip()]


async def look_for(box: Box, tools: Sequence[ProhibitedTool]) -> tuple[ProhibitedTool, ...]:
    """The same tools with `found`: is it a command of this box, or a module of its Python?"""
    if not tools:
        return ()
    names = [tool.name for tool in tools]
    result = await box.exec(("sh", "-c", _LOOK, "sh", *names), ExecOptions(timeout_s=20.0))
    there = set(result.text.splitlines())
    known = "looked" in there
    return tuple(replace(tool, found=tool.name in there if known else None) for tool in tools)


_LOOK = r"""
for name in "$@"; do
    case $name in *[!A-Za-z0-9_.+-]*) continue ;; esac
    if command -v "$name" >/dev/null 2>&1; then printf '%s\n' "$name"
    elif command -v python3 >/dev/null 2>&1 && python3 -B -c 'import importlib.util, sys
sys.exit(not importlib.util.find_spec(sys.argv[1].split(".")[0]))' "$name" >/dev/null 2>&1
    then printf '%s\n' "$name"; fi
done
echo looked
"""


def _converted(sentence: str) -> Iterator[tuple[str, str]]:
    """Both ways of naming what is converted: by its language, by its file."""
    for match in _PAIR.finditer(sentence):
        yield from _runtimes(match["source"], match["target"])
    for match in _FILE_PAIR.finditer(sentence):
        if language := _SUFFIXES.get(match["suffix"].lower()):
            yield from _runtimes(language, match["target"])


def _runtimes(source: str, target: str) -> Iterator[tuple[str, str]]:
    wanted = {name.lower() for name in _RUNTIMES[target.lower()]}
    for name in _RUNTIMES[source.lower()]:
        if name.lower() not in wanted and source.lower() != target.lower():
            yield name, f"the work is to be done in {target}, not in {source}"


def _named(sentence: str) -> Iterator[tuple[str, str]]:
    for match in (*_FORBIDS.finditer(sentence), *_IS_FORBIDDEN.finditer(sentence)):
        for name in _tools(match["what"]):
            yield name, "the instruction forbids it by name"


def _tools(words: str) -> Iterable[str]:
    """Names in code marks where there are any, else the words of the list."""
    marked = _MARKED.findall(words)
    for part in marked or _SPLIT.split(words):
        name = _TAIL.sub("", _LEAD.sub("", part.strip(" \t*_\"'`()"))).strip(" \t*_\"'`()")
        name = name.split()[0] if marked and name.split() else name
        if _TOOL.fullmatch(name) and not _STOP.fullmatch(name):
            yield name


def _scratch(sentence: str) -> Iterator[tuple[str, str]]:
    if _SCRATCH.search(sentence):
        yield SCRATCH_NAME, "it is to be written, not taken"
