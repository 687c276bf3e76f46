"""Reading the texts of a task: UTF-8, TOML, YAML, JSON.

Whatever the bytes are, the only error is a TaskError that starts with `file:line`.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from mechagym.errors import TaskError

MAX_BYTES = 1 << 20
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)$")
_AT_END = " (at end of document)"


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file of a task as UTF-8, line ends as `\\n`. Raises TaskError."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise TaskError(f"{path}: this file is missing", reason="file_missing") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TaskError(f"{path}: cannot be read: {reason}") from None
    if len(raw) > max_bytes:
        raise TaskError(f"{path}:1: larger than {max_bytes} bytes, which no such file should be")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}:{line}: not UTF-8 text (byte {error.start})") from None
    return text.replace("\r\n", "\n")


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """Parse TOML. Raises TaskError with the line that `tomllib` names."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TaskError(f"{path}:1: not valid TOML: values nested too deeply") from None
    except (ValueError, OverflowError) as error:
        message = str(error)
        found = _AT_LINE.search(message)
        line = int(found[1]) if found else _last_line(text) if _AT_END in message else 1
        fault = _AT_LINE.sub("", message).removesuffix(_AT_END)
        raise TaskError(f"{path}:{line}: not valid TOML: {fault}") from None


def read_yaml(path: Path) -> Any:
    """Read and parse a YAML file. Raises TaskError with its line."""
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TaskError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise TaskError(f"{path}:1: not valid YAML: {type(error).__name__}") from None


def read_json(path: Path, *, max_bytes: int = 64 * MAX_BYTES) -> Any:
    """Read and parse a JSON file. Raises TaskError with its line."""
    text = read_text(path, max_bytes=max_bytes)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path}:1: not valid JSON: {type(error).__name__}") from None


def _last_line(text: str) -> int:
    return text.rstrip("\n").count("\n") + 1
