"""`docs/command-line.md` names what there is, and its job file is one."""

import re
from pathlib import Path

from mechagym.cli import app
from mechagym.cli.job_file import JobEntry, job_entry
from mechagym.cli.llm_settings import LlmTable
from mechagym.config import Written

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "command-line.md").read_text()


def test_it_names_every_command_and_setting():
    for name in app.COMMANDS:
        assert re.search(rf"^\| `{name}\b", PAGE, re.MULTILINE), name
    for name in Written.model_fields.keys() - {"llm"}:
        assert f"| `{name}` | `MECHAGYM_{name.upper()}`" in PAGE
    models = (DOCS / "models.md").read_text(encoding="utf-8")
    for name in LlmTable.model_fields.keys() - {"providers"}:
        assert re.search(rf"^\| .*`{name}`", models, re.MULTILINE), name


def test_its_job_file_says_every_key(tmp_path: Path):
    file = tmp_path / "nightly.yaml"
    file.write_text(PAGE.split("```yaml\n")[1].split("```")[0])
    entry = job_entry(file, {}, ())
    assert entry.model_fields_set == set(JobEntry.model_fields)
