"""Texts that want to be more than text: for whoever shows what agents, tasks and models say.

`TEXTS` are at least 150; a test puts each into a field and looks that nothing runs and nothing is
lost. Those that cannot be in a string of Unicode stand as lone surrogates, as they come out of a
box.
"""

from mechagym.testing.hostile.texts import (
    BROKEN,
    HIDDEN,
    LINKS,
    MARKUP,
    NAMES,
    SIZES,
    TEMPLATES,
    TERMINAL,
)

TEXTS: tuple[str, ...] = (
    *MARKUP,
    *LINKS,
    *TEMPLATES,
    *TERMINAL,
    *HIDDEN,
    *BROKEN,
    *NAMES,
    *SIZES,
)

__all__ = [
    "BROKEN",
    "HIDDEN",
    "LINKS",
    "MARKUP",
    "NAMES",
    "SIZES",
    "TEMPLATES",
    "TERMINAL",
    "TEXTS",
]
