"""The papers of an exam on the host: the test output as it comes, and what the tests wrote.

They lie in the trial's `verifier/` folder in Harbor's layout. What comes out of the box is copied
beside that folder first and then moved over, so that nothing from the box replaces what we wrote
ourselves, whatever it is called.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mechagym.errors import MechagymError, NoSpace, TransferRefused
from mechagym.events import Emit, ErrorRaised
from mechagym.records import ErrorRecord, Phase
from mechagym.sandbox.base import MIB, Box, ExecResult, Stream, TransferCaps
from mechagym.verify.ctrf import MAX_BYTES, Report, parse_ctrf
from mechagym.verify.rewards import TRANSCRIPT

LOGS = "/logs/verifier"
CTRF = "ctrf.json"
PAPERS = ("reward.json", "reward.txt", CTRF)
CAPS = TransferCaps(max_files=10_000, max_bytes=256 * MIB)
TRANSCRIPT_BYTES = MIB


class Transcript:
    """The test output: written as it comes up to its cap; in the end head and tail of it all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._room = TRANSCRIPT_BYTES
        self._error: OSError | None = None

    def keep(self, _: Stream, data: bytes) -> None:
        """Take a piece. Never fails: it is called from inside the backend."""
        try:
            self._room -= self._file.write(data[: self._room]) if self._room else 0
        except OSError as error:
            self._error, self._room = error, 0

    def end(self, result: ExecResult) -> None:
        """Set the final text, with the cut stated in it. Raises NoSpace."""
        try:
            if result.stdout_total > TRANSCRIPT_BYTES:
                self._path.write_bytes(result.stdout)
        except OSError as error:
            self._error = error
        if self._error is not None:
            raise _full(self._path.parent, self._error) from self._error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@contextmanager
def transcript(folder: Path) -> Iterator[Transcript]:
    """Begin the test output of an exam; what an earlier one left in the folder goes.

    Raises NoSpace.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*PAPERS, TRANSCRIPT):
            _remove(folder / name)
        papers = Transcript(folder / TRANSCRIPT)
    except OSError as error:
        raise _full(folder, error) from error
    try:
        yield papers
    finally:
        papers.close()


async def bring_out(box: Box, folder: Path, emit: Emit) -> None:
    """Copy what the tests wrote into `folder`; what was refused is told, the rest is usable."""
    incoming = folder.with_name(f".{folder.name}.incoming")
    _remove(incoming)
    try:
        report = await box.get(LOGS, incoming, CAPS)
        refused = report.refused
    except FileNotFoundError:
        return
    except TransferRefused as error:
        refused = (error.message, *await _only_papers(box, incoming))
    _remove(incoming / TRANSCRIPT)
    for path in incoming.iterdir():
        _remove(folder / path.name)
        path.rename(folder / path.name)
    _remove(incoming)
    for what in refused:
        note(emit, "verifier_file_refused", f"{LOGS}: {what}")


def read_ctrf(folder: Path, emit: Emit) -> Report:
    """Read the report in the folder, if there is one; faults of it are told."""
    path = folder / CTRF
    if not path.is_file() or path.is_symlink():
        return Report()
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    whole = len(data) <= MAX_BYTES
    report = parse_ctrf(data) if whole else Report(faults=(f"larger than {MAX_BYTES} bytes",))
    for fault in report.faults:
        note(emit, "ctrf_unreadable", f"{CTRF}: {fault}")
    return report


def note(emit: Emit, reason: str, message: str) -> None:
    """Tell of something that went wrong and decides nothing."""
    record = ErrorRecord(type="VerifierError", reason=reason, message=message, blame="verifier")
    emit(ErrorRaised(error=record, phase=Phase.VERIFY))


async def _only_papers(box: Box, incoming: Path) -> list[str]:
    """The folder is over its caps: what decides comes out all the same."""
    _remove(incoming)
    incoming.mkdir()
    refused = []
    for name in PAPERS:
        try:
            await box.get(f"{LOGS}/{name}", incoming / name, CAPS)
        except FileNotFoundError:
            continue
        except MechagymError as error:
            refused.append(f"{name}: {error.message}")
    return refused


def _full(folder: Path, error: OSError) -> NoSpace:
    return NoSpace(f"{folder}: cannot keep the test output: {error.strerror}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
