"""Which paths an instruction names, and which of them it wants made: 25 sentences."""

import pytest

from mechagym.agents.map.decomposer_rules import RulesDecomposer, shares
from mechagym.agents.map.paths import named
from mechagym.agents.map.types import TaskView

# sentence, what it wants made, what else it names
SENTENCES = [
    ("Write the result to /app/out.txt.", ["/app/out.txt"], []),
    ("Read /app/in.csv and write /app/out.json.", ["/app/out.json"], ["/app/in.csv"]),
    ("Create a file called `report.md` with a summary.", ["report.md"], []),
    ("The output must be saved in /data/final.parquet!", ["/data/final.parquet"], []),
    ("Look at /etc/hosts and /etc/resolv.conf.", [], ["/etc/hosts", "/etc/resolv.conf"]),
    ("Generate `a.png` and `b.png` from /app/data.csv.", ["a.png", "b.png"], ["/app/data.csv"]),
    ("Store the keys under /srv/keys/.", ["/srv/keys/"], []),
    ("Put the page into /var/www, nothing else.", ["/var/www"], []),
    ("Do not write to /etc/passwd.", [], ["/etc/passwd"]),
    ("Fix the bug in /app/src/main.c so that the tests pass.", [], ["/app/src/main.c"]),
    (
        "Create the following files:\n- `one.txt`\n- /app/two.txt\n",
        ["one.txt", "/app/two.txt"],
        [],
    ),
    ("Produce /app/sum.txt, the sum of the numbers of `numbers.txt`.", ["/app/sum.txt"],
     ["numbers.txt"]),
    ("Write a program that reads /app/in.txt and prints it.", [], ["/app/in.txt"]),
    ("The script /app/run.sh generates /app/build/x.tar.gz.", ["/app/build/x.tar.gz"],
     ["/app/run.sh"]),
    ("See https://example.org/a/b.html for more.", [], []),
    ("It handles 10 requests/s and/or fails.", [], []),
    ("Save it as `result.json`. Then read /app/check.sh.", ["result.json"], ["/app/check.sh"]),
    ("Output goes to `out/table.csv`", ["out/table.csv"], []),
    ("Convert /app/model.R; the output is /app/model.py.", ["/app/model.py"], ["/app/model.R"]),
    ("Never overwrite or write /app/input.txt, use it as it is.", [], ["/app/input.txt"]),
    ("Using /app/a.py and /app/b.py, create /app/c.py.", ["/app/c.py"], ["/app/a.py", "/app/b.py"]),
    ("Compress /var/log/app.log and store the archive in /backup/app.tar.xz",
     ["/backup/app.tar.xz"], ["/var/log/app.log"]),
    ("Call `os.getcwd()` and use `x` or `README`.", [], []),
    ("Start the server of /app/server.js (port 8080); it writes logs to /app/server.log.",
     ["/app/server.log"], ["/app/server.js"]),
    ("Write a summary of /app/notes.md to\n/app/summary.md", ["/app/summary.md"],
     ["/app/notes.md"]),
]  # fmt: skip


@pytest.mark.must("map-14")
@pytest.mark.parametrize(("text", "asked", "others"), SENTENCES)
def test_sentence(text, asked, others):
    found = named(text)
    assert [name.path for name in found if name.asked] == asked
    assert [name.path for name in found if not name.asked] == others


def test_there_are_25():
    assert len({text for text, _, _ in SENTENCES}) == 25


@pytest.mark.must("map-14")
async def test_the_four_sub_tasks():
    text = "Read /app/in.csv and /app/gone.csv, then write /app/out.json."
    view = TaskView(
        instruction=text, max_turns=30, workdir="/app", exists=frozenset({"/app/in.csv"})
    )
    plan = await RulesDecomposer().split(view)
    rows = [(s.id, s.max_turns, s.expected_artifacts, s.min_progress) for s in plan.subtasks]
    made = ("/app/out.json",)
    assert rows == [
        ("understand-requirements", 3, (), None),
        ("write-initial-solution", 5, made, None),
        ("test-and-iterate", 10, made, 0.5),
        ("final-validation", 12, made, 1.0),
    ]
    assert plan.required_outputs == made
    assert plan.files_to_read == ("/app/in.csv",)
    assert plan.source == "rules"


@pytest.mark.must("map-14")
@pytest.mark.parametrize(
    ("max_turns", "turns"),
    [(23, [3, 5, 10, 5]), (25, [3, 5, 10, 7]), (10, [1, 2, 5, 2]), (4, [1] * 4), (3, [1] * 4)],
)
def test_turns_shrink_in_proportion(max_turns, turns):
    assert shares([3, 5, 10, 5], max_turns) == turns
