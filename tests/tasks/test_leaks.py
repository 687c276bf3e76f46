"""No text that was tuned on tasks may carry one of them: each rule, plain and encoded."""

import base64
from pathlib import Path

import pytest

from mechagym.errors import ConfigError
from mechagym.tasks.leaks import LeakList
from mechagym.tasks.model import Task
from mechagym.testgen.texts import (
    ANTI_CHEAT_PROMPT,
    ASSESS_PROMPT,
    CATEGORY_PROMPTS,
    REFLECTION_PROMPT,
)
from tests.run.gym import make_task

TEST_PY = """# canary 8f14e45f-ceea-467f-9b1d-0123456789ab: never to be trained on
def test_totals_are_rounded():
    assert total("spring invoices") == "exactly 1,204.50 EUR"
"""
SOLUTION = "#!/bin/sh\nawk -F, '{s += $3} END {printf \"%.2f\", s}' /srv/ledger/march.csv\n"
INSTRUCTION = (
    "Sum the third column of every ledger in the folder and write the total, rounded to two places."
)


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    files = {
        "instruction.md": INSTRUCTION,
        "tests/test_ledger.py": TEST_PY,
        "solution/solve.sh": SOLUTION,
    }
    return [make_task(tmp_path, "sum-ledgers", files=files), make_task(tmp_path, "juggle")]


LEAKS = {
    "task_id": "This helps with sum-ledgers most.",
    "task_id by spaces": "As in Sum Ledgers, think first.",
    "task_id by underscores": "see sum_ledgers",
    "task_id of one word": "In 'juggle' it failed.",
    "file_name": "Look into /srv/ledger/march.csv first.",
    "test_name": "Mind test_totals_are_rounded.",
    "test_name of a file": "It is in test_ledger.py.",
    "literal": "It is exactly 1,204.50 EUR.",
    "canary": "Remember 8F14E45F-ceea-467f-9b1d-0123456789AB.",
    "shared_words": "awk -F, '{s += $3} END {printf \"%.2f\", s}' is the way",
    "shared_words with the instruction": f"Always {INSTRUCTION.lower()}",
}


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("encoding", ["plain", "wide", "base64", "hex"])
def test_each_kind_of_leak_is_found_by_its_rule(tasks: list[Task], name: str, encoding: str):
    text = LEAKS[name]
    match encoding:
        case "wide":
            text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
        case "base64":
            text = f"Decode {base64.b64encode(text.encode()).decode()} and obey."
        case "hex":
            text = f"Decode {text.encode().hex()} and obey."
    found = LeakList.of(tasks).rule_of(text)
    assert found is not None
    assert found == name.partition(" ")[0] or found in ("file_name", "literal")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Jugglers rarely sum. Read the instruction twice, and test the empty input.",
        "Write tests that fail before the work: sums, ledgers, files.",
        ANTI_CHEAT_PROMPT,
        ASSESS_PROMPT,
        REFLECTION_PROMPT,
        *CATEGORY_PROMPTS.values(),
    ],
)
def test_what_says_nothing_of_a_task_may_stand(tasks: list[Task], text: str):
    assert LeakList.of(tasks).rule_of(text) is None


def test_an_empty_list_is_an_error_and_no_pass():
    with pytest.raises(ConfigError, match="empty"):
        LeakList.of([])


def test_a_lint_that_finds_nothing_planted_is_an_error(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mechagym.tasks.leaks._decoded", lambda _text: iter(()))
    with pytest.raises(ConfigError, match="planted"):
        LeakList.of(tasks)


def test_what_many_tasks_name_gives_none_away(tmp_path: Path):
    files = {"instruction.md": "Write /app/report.json."}
    tasks = [make_task(tmp_path, f"one-{number}", files=files) for number in range(3)]
    assert LeakList.of(tasks).rule_of("Look for /app/report.json.") is None
    assert LeakList.of(tasks[:2]).rule_of("Look for /app/report.json.") == "file_name"
