"""A job's folder, as Harbor's tools and viewer read it.

Every file is a pure fold of what the store holds, or was copied out of a box into `tries/NNN/`: a
torn or missing one is made again. The counted try's evidence is shown at the trial's level, by hard
links. Nothing is written outside the job's folder, whatever names and links come along, and no
secret is written at all.
"""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mechagym.events import Event
from mechagym.records import TrialKey, TrialRecord, TryRecord, now, to_json
from mechagym.trajectory import atif, harbor, harbor_job, log
from mechagym.trajectory.artifacts import manifest
from mechagym.trajectory.files import (
    clear,
    folders_in,
    is_filled,
    is_whole_json,
    publish,
    safe_name,
    scrub,
    write_file,
    write_json,
    write_text,
)
from mechagym.trajectory.harbor import JobSheet
from mechagym.trajectory.redact import Redactor

FOLDS = ("config.json", "lock.json", "metrics.json", "trial.log", "events.jsonl")
EVIDENCE = ("agent", "verifier", "artifacts", "steps")
NOTHING_SECRET = Redactor({})


class JobFolder:
    """The folder of one job. Methods write files and raise OSError; call them in a thread."""

    def __init__(
        self,
        root: Path,
        redactor: Redactor = NOTHING_SECRET,
        sheet: JobSheet = JobSheet(),  # noqa: B008 – frozen
    ) -> None:
        self.root = root
        self._redactor = redactor
        self._sheet = sheet

    def trial_dir(self, trial_name: str) -> Path:
        """A trial's folder; not made."""
        return self.root / safe_name(trial_name)

    def try_dir(self, trial_name: str, number: int) -> Path:
        """Where a try's evidence is put (`agent/`, `verifier/`, `artifacts/`, …); made here.

        Nobody else may enter it until `write_trial` has redacted what came out of the box.
        """
        folder = self.trial_dir(trial_name) / "tries" / f"{number:03d}"
        try:
            folder.mkdir(mode=0o700)
        except FileNotFoundError:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        return folder

    def begin(self, keys: Sequence[TrialKey]) -> None:
        """Write the job's `config.json`; its `lock.json` and `result.json` where there are none."""
        self._json("config.json", harbor_job.job_config(self._sheet, keys, self.root.absolute()))
        if not is_whole_json(self.root / "lock.json"):
            self._json("lock.json", harbor_job.job_lock(self._sheet, keys, now()))
        if not is_whole_json(self.root / "result.json"):
            nothing_yet = harbor_job.job_result(self._sheet, (), total=len(keys), at=now())
            self._json("result.json", nothing_yet)

    def write_trial(self, record: TrialRecord, events: Sequence[Event]) -> None:
        """Write or rewrite all files of a trial that has ended; `result.json` comes last."""
        folder = self.trial_dir(record.key.trial_name)
        for attempt in record.tries:
            self._write_try(record.key, attempt, events)
        self._show(folder, record.counted.number)
        at = folder.absolute()
        self._into(folder, "config.json", harbor.trial_config(self._sheet, record.key, at))
        self._into(folder, "lock.json", harbor.trial_lock(self._sheet, record.key))
        self._into(folder, "metrics.json", harbor.metrics(record))
        write_text(folder / "trial.log", log.lines(events), self._redactor)
        write_file(folder / "events.jsonl", self._event_lines(events))
        if error := record.counted.error:
            text = f"{error.type}: {error.message}\n\n{error.trace or ''}".rstrip() + "\n"
            write_text(folder / "exception.txt", text, self._redactor)
        else:
            (folder / "exception.txt").unlink(missing_ok=True)
        result = harbor.trial_result(self._sheet, record, events, at)
        write_json(folder / "result.json", result, self._redactor, durable=True)

    def write_job(self, records: Sequence[TrialRecord], events: Sequence[Event]) -> None:
        """Write `result.json` and `job.log` of the job from its trials and its own events."""
        result = harbor_job.job_result(self._sheet, records, events=events, at=now())
        self._json("result.json", result)
        write_text(self.root / "job.log", log.lines(events) + log.summary(records), self._redactor)

    def is_whole(self, trial_name: str) -> bool:
        """Whether all files of a trial that has ended are there; quick, for resuming thousands."""
        folder = self.trial_dir(trial_name)
        return is_whole_json(folder / "result.json") and all(
            is_filled(folder / name) for name in FOLDS
        )

    def _write_try(self, key: TrialKey, attempt: TryRecord, events: Sequence[Event]) -> None:
        folder = self.try_dir(key.trial_name, attempt.number)
        for part in set(EVIDENCE) - folders_in(folder):
            clear(folder / part)
        scrub(folder, self._redactor)
        folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))
        document = atif.fold(key, attempt.number, events)
        self._into(folder, "agent/trajectory.json", document)
        if collected := manifest(attempt.number, events, folder):
            self._into(folder, "artifacts/manifest.json", collected)
        verifier = folder / "verifier"
        given = any((verifier / name).is_file() for name in ("reward.txt", "reward.json"))
        if attempt.verdict and not given:
            self._into(folder, "verifier/reward.json", attempt.verdict.rewards)

    def _show(self, folder: Path, number: int) -> None:
        """Show a try's evidence at the trial's level, and nothing of an earlier one's."""
        counted = folder / "tries" / f"{number:03d}"
        present = folders_in(counted)
        for part in EVIDENCE:
            clear(folder / part)
            if part in present:
                publish(counted / part, folder / part)

    def _event_lines(self, events: Sequence[Event]) -> bytes:
        redact = self._redactor.line
        return "".join(f"{redact(to_json(event))}\n" for event in events).encode()

    def _json(self, name: str, value: Any) -> None:
        self._into(self.root, name, value)

    def _into(self, folder: Path, name: str, value: Any) -> None:
        write_json(folder / name, value, self._redactor)
