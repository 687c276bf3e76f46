"""What a failed check of a text says to the person who wrote the text."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails


def fault_text(fault: ErrorDetails, *above: str | int) -> str:
    """Say which key is wrong, what is allowed, and what was found; `above`: the keys around it."""
    where = ".".join(str(part) for part in (*above, *fault["loc"]))
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] in ("string_too_short", "too_short"):
        return f"{where} must not be empty"
    what = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    found = fault["input"]
    if isinstance(found, Mapping | list) or not fault["loc"]:
        return f"{where or 'the file'}: {what}"
    return f"{where}: {what}, not {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
