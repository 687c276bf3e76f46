"""The paths that an instruction names, and which of them it asks for.

By grammar alone: the last word of writing or of reading before a path says what it is for. Nothing
here knows a task.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PATH = re.compile(
    r"(?<![\w./:~<>$}-])(/(?:[\w@%+-][\w.@%+-]*|\.[\w@%+-][\w.@%+-]*)(?:/[\w.@%+-]+)*/?)"
    r"|`([\w@%+-][\w.@%+-]*(?:/[\w.@%+-]+)*\.[a-z][a-z0-9]{0,7})`"
)
_WRITES = r"""
    writ(?:e|es|ten|ing) | outputs? | outputted | outputting | creat(?:e|es|ed|ing)
    | sav(?:e|es|ed|ing) | produc(?:e|es|ed|ing) | generat(?:e|es|ed|ing) | stor(?:e|es|ed|ing)
    | puts? | putting
"""
_READS = r"""
    reads? | reading | loads? | loading | pars(?:e|es|ing) | opens? | from | of | us(?:e|es|ing)
    | given | analy[sz](?:e|es|ing) | summari[sz](?:e|es|ing) | based | against | like
    | compar(?:e|es|ing) | runs? | running | imports? | inputs? | contained | found | within | about
"""
_TARGETS = r"to | into | as | called | named | under"
_CUE = re.compile(
    rf"\b(?:(?P<no>(?:not|never|without|n't|n’t)\s+(?:\w+\s+){{0,3}}?(?:{_WRITES}))|(?P<write>{_WRITES})"
    rf"|(?P<read>{_READS})|(?P<to>{_TARGETS}))\b",
    re.VERBOSE | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n\s*\n|\n(?=\s*(?:[-*+•]|\d+[.)]|\#)\s)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s")


@dataclass(frozen=True, slots=True)
class Named:
    """A path as the instruction has it; `asked`: it is to be made."""

    path: str
    asked: bool


def named(instruction: str) -> tuple[Named, ...]:
    """Each path once, in the order of the text; asked for where any sentence asks for it."""
    found: dict[str, bool] = {}
    for sentence in _sentences(instruction):
        for match in _PATH.finditer(sentence):
            path = _trimmed(match[1] or match[2])
            found[path] = found.get(path, False) or _asked(sentence[: match.start()])
    return tuple(Named(path, asked) for path, asked in found.items())


def looks_like_file(path: str) -> bool:
    """Whether the last part has an extension, as far as a name tells."""
    return not path.endswith("/") and "." in path.rsplit("/", 1)[-1].lstrip(".")


def _trimmed(path: str) -> str:
    return path.rstrip(".") if not path.endswith("/") else path


def _asked(before: str) -> bool:
    """Whether a path that follows this text is one to write."""
    written = target = False
    for cue in _CUE.finditer(before):
        match cue.lastgroup:
            case "write":
                written = target = True
            case "no":
                written = target = False
            case "read":
                target = False
            case "to":
                target = written
    return target


def _sentences(text: str) -> Iterator[str]:
    """Sentences, with an introduction that ends in a colon before each item of its list."""
    start, introduction = 0, ""
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        sentence, start = text[start:end], end
        is_item = _ITEM.match(sentence) is not None
        yield introduction + sentence if is_item else sentence
        if sentence.rstrip().endswith(":"):
            introduction = sentence
        elif sentence.strip() and not is_item:
            introduction = ""
