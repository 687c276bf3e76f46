"""Characters that cannot be seen, shown: controls, bidi overrides, zero widths, lone surrogates.

What one reads is what is there: text that would run backwards or hide something is told apart.
"""

import re
import unicodedata

from markupsafe import Markup, escape

_PICTURES = 0x2400
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but tab and newline
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff]"
)


def marked(text: str | None) -> Markup:
    """A text as markup: escaped, and what cannot be seen as a mark with its name."""
    return Markup().join(pieces(text or ""))


def pieces(text: str) -> list[Markup]:
    """The same in parts, for who puts something between."""
    found, last = [], 0
    for hit in _INVISIBLE.finditer(text):
        if hit.start() > last:
            found.append(escape(text[last : hit.start()]))
        found.append(_mark(hit.group()))
        last = hit.end()
    if last < len(text):
        found.append(escape(text[last:]))
    return found


def plain(text: str) -> str:
    """For places that hold no markup (titles, chart labels): marks as pictures or code points."""
    return _INVISIBLE.sub(lambda hit: _shown(hit.group()), text)


def _mark(character: str) -> Markup:
    return Markup('<span class="mark" title="{}">{}</span>').format(
        _name(character), _shown(character)
    )


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    return "␡" if code == 0x7F else f"[U+{code:04X}]"


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{code} {unicodedata.name(character, '')}".strip()
