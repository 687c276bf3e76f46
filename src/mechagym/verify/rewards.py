"""Reading the reward that the tests wrote. Pure but for the reading: no reward is ever made up.

`reward.json`, a flat object of finite numbers, wins over `reward.txt`, one number. Whatever is
missing, empty, garbage or not finite is a VerifierError with its own reason, never a 0.
"""

import json
import math
from pathlib import Path

from mechagym.errors import VerifierError

TRANSCRIPT = "test-stdout.txt"
MAX_BYTES = 64 * 1024
TAIL_LINES = 20
TAIL_CHARS = 2_000


def read_rewards(folder: Path) -> dict[str, float]:
    """Read the rewards in a copy of `/logs/verifier`; at least one, all finite.

    Raises VerifierError (`reward_missing`, `reward_empty`, `reward_unparsable`,
    `reward_not_finite`) with the tail of the test output, where that lies in the folder too.
    """
    found = [folder / name for name in ("reward.json", "reward.txt") if _exists(folder / name)]
    if not found:
        raise _fault("missing", folder, "the tests wrote neither reward.json nor reward.txt")
    path = found[0]
    text = _read(path)
    if not text.strip():
        raise _fault("empty", folder, f"{path.name} is empty")
    rewards = _from_object(path, text) if path.suffix == ".json" else _from_number(path, text)
    for name, reward in rewards.items():
        if not math.isfinite(reward):
            raise _fault("not_finite", folder, f"{path.name}: {name} is {reward}")
    return rewards


def tail_of(transcript: Path) -> str:
    """The last lines of a test output, indented for a message; empty where there is none."""
    try:
        with transcript.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_CHARS))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [f"    {line}" for line in text.splitlines()[-TAIL_LINES:]]
    return "\n".join(["\n  the end of the test output:", *lines]) if lines else ""


def _from_object(path: Path, text: str) -> dict[str, float]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault("unparsable", path.parent, f"{path.name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise _fault("unparsable", path.parent, f"{path.name} holds no object")
    if not data:
        raise _fault("empty", path.parent, f"{path.name} is an empty object")
    for name, value in data.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _fault("unparsable", path.parent, f"{path.name}: {name} is not a number")
    return {name: _float(value) for name, value in data.items()}


def _from_number(path: Path, text: str) -> dict[str, float]:
    try:
        return {"reward": float(text)}
    except ValueError as error:
        raise _fault("unparsable", path.parent, f"{path.name} is not one number") from error


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _read(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise _fault("unparsable", path.parent, f"{path.name} is not a plain file")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _fault("unparsable", path.parent, f"{path.name} is larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fault("unparsable", path.parent, f"{path.name} is not UTF-8") from error


def _fault(reason: str, folder: Path, what: str) -> VerifierError:
    return VerifierError(
        f"no reward: {what}{tail_of(folder / TRANSCRIPT)}", reason=f"reward_{reason}"
    )
