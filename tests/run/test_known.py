"""What the store is told of a task when a job begins: what its metadata says, and no more."""

from pathlib import Path

from mechagym.run.take import known_of
from tests.run.gym import make_task

SAID = """schema_version = "1.4"
[metadata]
author_name = "Ada"
difficulty = "hard"
category = "security"
tags = ["c", "fuzzing"]
[agent]
timeout_sec = 900.0
[environment]
gpus = 2
"""


def test_a_task_is_known_by_its_metadata(tmp_path: Path):
    row = known_of(make_task(tmp_path, "said", toml=SAID))
    assert (row.name, row.difficulty, row.category, row.author) == (
        "said",
        "hard",
        "security",
        "Ada",
    )
    assert (row.tags, row.agent_timeout_s, row.needs) == (("c", "fuzzing"), 900.0, ("gpus:2",))


def test_what_is_not_said_is_not_made_up(tmp_path: Path):
    row = known_of(make_task(tmp_path))
    assert (row.difficulty, row.category, row.author) == (None, None, None)
    assert (row.tags, row.needs) == ((), ())
