"""Programs that run another program: what stands in their arguments is a command of its own."""

import re
from dataclasses import dataclass
from itertools import pairwise

from mechagym.agents.map.monitor.calls import Call, Operand

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_UNKNOWN = Operand("", "unknown")
_NO_FILTER = frozenset({"-type", "-maxdepth", "-mindepth"})
_FILTERS = re.compile(
    r"-(i?name|i?path|i?wholename|i?regex|i?lname|newer\w*|[amc](time|min)|size|empty|user|group|"
    r"[ug]id|perm|inum|links|samefile|nouser|nogroup)"
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A program that runs the command in its arguments. `valued`: the options that take a value,
    `skipped`: how many operands of its own come first.
    """

    valued: str = ""
    skipped: int = 0


PREFIXES = {
    "nohup": Prefix(), "setsid": Prefix(), "command": Prefix(), "builtin": Prefix(),
    "busybox": Prefix(), "exec": Prefix("a"), "nice": Prefix("n"), "ionice": Prefix("cnpPu"),
    "time": Prefix("fo"), "timeout": Prefix("sk", skipped=1), "stdbuf": Prefix("ioe"),
    "env": Prefix("uCS"), "xargs": Prefix("adEIiLlnPs"), "flock": Prefix("wE", skipped=1),
    "chroot": Prefix(skipped=1), "watch": Prefix("n"), "sudo": Prefix("ugCDhprtT"),
    "doas": Prefix("uC"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inner:
    """The command within a wrapper, and the variables that it sets for it."""

    words: tuple[Operand, ...]
    variables: tuple[tuple[str, str], ...] = ()


def unwrapped(call: Call) -> Inner | None:
    """The command that a wrapper runs; None where it is no wrapper, or runs nothing."""
    prefix = PREFIXES.get(call.program)
    if prefix is None:
        return None
    words, options = _after_options(call.arguments, prefix.valued)
    if call.program == "command" and {"-v", "-V"} & set(options):
        return None
    variables: list[tuple[str, str]] = []
    while words and call.program == "env" and (match := _ASSIGNED.fullmatch(words[0].text)):
        variables.append((match[1], match[2]))
        words = words[1:]
    words = words[prefix.skipped :]
    if call.program == "xargs":
        words = _fed(words or (Operand("echo"),), options)
    return Inner(words, tuple(variables)) if words else None


def script_of(call: Call) -> Operand | None:
    """The text that a shell, `eval` or `trap` is told to run; None: it is told none."""
    arguments = call.arguments
    if call.program == "eval":
        parts = [word.known for word in arguments]
        made_by = tuple(made for word in arguments for made in word.made_by)
        texts = [part for part in parts if part is not None]
        whole = len(texts) == len(parts)
        return Operand(" ".join(texts), "exact" if whole else "unknown", made_by)
    if call.program == "trap":
        return next(iter(call.operands), None)
    if call.program == "env":
        return _after_flag(arguments, "S")
    if call.program in SHELLS or call.program == "su":
        return _after_flag(arguments, "c")
    return None


def arguments_of_script(call: Call) -> tuple[Operand, ...]:
    """What stands behind the text of `sh -c`: its `$0`, `$1`, …"""
    text = script_of(call)
    after = [i for i, word in enumerate(call.arguments) if word is text]
    return call.arguments[after[0] + 1 :] if after else ()


def found(call: Call) -> tuple[Inner, ...]:
    """What `find` does with what it finds. It goes into folders, so that its `rm` is recursive."""
    starts, tests = _starts(call.arguments)
    filtered = _filters(tests)
    some = [Operand(s.text, "some") if s.known and filtered else s for s in starts]
    texts = [word.text for word in tests]
    done: list[Inner] = []
    if "-delete" in texts:
        done.append(Inner((Operand("rm"), Operand("-r"), *some)))
    for i, text in enumerate(texts):
        if text in ("-exec", "-execdir", "-ok", "-okdir"):
            stop = next((j for j in range(i + 1, len(texts)) if texts[j] in (";", "+")), len(texts))
            done.append(Inner(_with_found(tests[i + 1 : stop], some)))
    return tuple(done)


def _with_found(words: tuple[Operand, ...], some: list[Operand]) -> tuple[Operand, ...]:
    whole: list[Operand] = []
    for word in words:
        whole += some if word.text == "{}" else [_UNKNOWN if "{}" in word.text else word]
    if whole and (whole[0].known or "").rsplit("/", 1)[-1] in ("rm", "unlink"):
        whole.insert(1, Operand("-r"))
    return tuple(whole)


def _starts(words: tuple[Operand, ...]) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
    first = 0
    while first < len(words) and words[first].text in ("-H", "-L", "-P"):
        first += 1
    for i in range(first, len(words)):
        if words[i].text[:1] in ("-", "(", "!", ")"):
            return words[first:i] or (Operand("."),), words[i:]
    return words[first:] or (Operand("."),), ()


def _filters(tests: tuple[Operand, ...]) -> bool:
    """Whether a search finds only some: a test that is not the other way round, nor of all."""
    texts = [word.pattern for word in tests]
    if {"!", "-not", "-o", "-or"} & set(texts):
        return False
    return any(
        _FILTERS.fullmatch(text) and (i + 1 >= len(texts) or texts[i + 1].strip("*./") != "")
        for i, text in enumerate(texts)
    )


def _after_options(
    words: tuple[Operand, ...], valued: str
) -> tuple[tuple[Operand, ...], list[str]]:
    """The words behind a program's own options, and these, values included."""
    options: list[str] = []
    i = 0
    while i < len(words) and words[i].text.startswith("-"):
        text = words[i].text
        options.append(text)
        i += 1
        if text == "--":
            break
        if text[1:2] != "-" and text[-1] in valued and len(text) == 2 and i < len(words):
            options.append(words[i].text)
            i += 1
    return words[i:], options


def _fed(words: tuple[Operand, ...], options: list[str]) -> tuple[Operand, ...]:
    """A command of xargs with what comes from its input: not known."""
    mark = next((b for a, b in pairwise(options) if a == "-I"), None)
    mark = mark or next((o[2:] or "{}" for o in options if o[:2] in ("-I", "-i")), None)
    if mark is None:
        return (*words, _UNKNOWN)
    return tuple(_UNKNOWN if mark in word.text else word for word in words)


def _after_flag(words: tuple[Operand, ...], letter: str) -> Operand | None:
    for i, word in enumerate(words[:-1]):
        if word.text[:1] == "-" and word.text[:2] != "--" and letter in word.text[1:]:
            return words[i + 1]
        if word.text[:1] not in "-+" and letter == "c":
            return None
    return None
