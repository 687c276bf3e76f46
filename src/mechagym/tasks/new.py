"""`tasks new`: a working task to start from. What it is made of lies in `skeleton/`."""

import re
import uuid
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from mechagym.errors import ConfigError
from mechagym.tasks.write import write_text

_NAME = re.compile(r"(?:([a-z0-9][a-z0-9._-]*)/)?([a-z0-9][a-z0-9._-]*)", re.IGNORECASE)
DEFAULT_ORG = "local"


def create_task(target: Path, name: str) -> Path:
    """Write a task named `name` or `org/name` into `target`, which must not exist or be empty.

    Each task gets a canary of its own. Raises ConfigError.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(
            f"{name!r} cannot be a task's name",
            remedy='Use letters, digits, ".", "_" and "-", with an organisation before a slash.',
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target}: is there already", remedy="Name another folder.")
    words = {
        "full_name": f"{match[1] or DEFAULT_ORG}/{match[2]}",
        "canary": f"mechagym-canary GUID {uuid.uuid4()}",
    }
    _write(files("mechagym.tasks").joinpath("skeleton"), target, words)
    return target


def _write(source: Traversable, target: Path, words: dict[str, str]) -> None:
    for entry in source.iterdir():
        if entry.is_dir():
            _write(entry, target / entry.name, words)
        else:
            text = entry.read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(f"{{{{{word}}}}}", value)
            write_text(target / entry.name, text, executable=entry.name.endswith(".sh"))
