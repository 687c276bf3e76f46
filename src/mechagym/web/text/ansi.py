"""Terminal output as markup: of all escape sequences only colour and weight are kept, as classes.

What else a terminal would obey (titles, links, cursors, clipboards) is left out of the markup, and
nothing that is not an escape sequence is.
"""

import re
from dataclasses import dataclass, replace

from markupsafe import Markup

from mechagym.web.text.marks import marked

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
MAX_CODES = 32

_SEQUENCE = re.compile(
    r"\x1b\[([0-9;:]{0,200})m"  # colour and weight: the one kind that is looked into
    r"|(?:\x1b\[|\x9b)[0-?]{0,200}[ -/]{0,20}[@-~]"  # other control sequences
    # titles, links, clipboards and other strings
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,4000}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,4}[0-OQ-WYZ\\`-~]"  # two letters; what begins one of the above is not one
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    colour: str = ""
    ground: str = ""

    @property
    def classes(self) -> str:
        names = [n for n in ("bold", "dim", "italic", "underline") if getattr(self, n)]
        names += [self.colour] if self.colour else []
        names += [f"on-{self.ground}"] if self.ground else []
        return " ".join(f"ansi-{name}" for name in names)


_PLAIN = _Style()
_ON = {
    "1": ("bold", True),
    "2": ("dim", True),
    "3": ("italic", True),
    "4": ("underline", True),
    "23": ("italic", False),
    "24": ("underline", False),
}


def coloured(text: str) -> Markup:
    """Output as markup."""
    found, style, last = [], _PLAIN, 0
    for hit in _SEQUENCE.finditer(text.replace("\r\n", "\n")):
        found.append(_span(hit.string[last : hit.start()], style))
        if hit.group(1) is not None:
            style = _changed(style, hit.group(1))
        last = hit.end()
    found.append(_span(text.replace("\r\n", "\n")[last:], style))
    return Markup().join(found)


def _span(text: str, style: _Style) -> Markup:
    if not text or not style.classes:
        return marked(text)
    return Markup('<span class="{}">{}</span>').format(style.classes, marked(text))


def _changed(style: _Style, codes: str) -> _Style:
    numbers = re.split("[;:]", codes)[:MAX_CODES]
    place = 0
    while place < len(numbers):
        code = numbers[place].lstrip("0")
        if code in ("38", "48"):  # a colour of 256 or of 16 million: only the first 16 are kept
            place += _skipped(numbers[place + 1 : place + 2])
            style = _extended(style, code, numbers, place)
        else:
            style = _one(style, code)
        place += 1
    return style


def _skipped(kind: list[str]) -> int:
    return {"5": 2, "2": 4}.get(kind[0] if kind else "", 0)


def _extended(style: _Style, code: str, numbers: list[str], place: int) -> _Style:
    of_256 = place >= 1 and place < len(numbers) and numbers[place - 1] == "5"
    number = numbers[place] if of_256 else ""
    name = COLOURS[int(number) % 8] if number.isdigit() and int(number) < 16 else ""
    return replace(style, colour=name) if code == "38" else replace(style, ground=name)


def _one(style: _Style, code: str) -> _Style:
    if not code:
        return _PLAIN
    if code == "22":
        return replace(style, bold=False, dim=False)
    if code in _ON:
        name, value = _ON[code]
        return replace(style, **{name: value})  # type: ignore[arg-type]
    if len(code) == 2 and code[0] in "34" and code[1].isascii() and code[1].isdigit():
        return _hued(style, code[0] == "3", int(code[1]))
    if len(code) == 2 and code[0] == "9" and code[1] in "01234567":
        return _hued(style, True, int(code[1]))
    return style


def _hued(style: _Style, front: bool, number: int) -> _Style:
    name = COLOURS[number] if number < 8 else ""
    return replace(style, colour=name) if front else replace(style, ground=name)
