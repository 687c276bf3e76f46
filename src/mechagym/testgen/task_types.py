"""What kind of work an instruction asks for: the first of these whose words stand in it."""

import re
from collections.abc import Mapping

from mechagym.events.testgen import GLOBAL

_WORDS: Mapping[str, re.Pattern[str]] = {
    # `port` is work where something is ported to something, and a number elsewhere
    "conversion": re.compile(
        r"\b(?:convert|translat|migrat)\w*|\bport(?:ed|ing)\b|\bport\b(?!\s*\d)(?=[^.]*\bto\b)",
        re.IGNORECASE,
    ),
    "debugging": re.compile(
        r"\bfix(?:e[sd]|ing)?\b|\bdebug\w*|\brepair\w*|\bfailing\b", re.IGNORECASE
    ),
    "implementation": re.compile(
        r"\bimplement\w*|\bwrit(?:e|ing)\b|\bbuild(?:ing)?\b|\bcreat(?:e|ing)\b", re.IGNORECASE
    ),
}
TASK_TYPES = (*_WORDS, GLOBAL)


def task_type(instruction: str) -> str:
    """`conversion`, `debugging`, `implementation`, or `_global_`."""
    return next((name for name, words in _WORDS.items() if words.search(instruction)), GLOBAL)
