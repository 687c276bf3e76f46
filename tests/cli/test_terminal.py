"""What is shown, at 80 columns and without a terminal: a fold over recorded events."""

import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from rich.text import Text

from mechagym.cli.terminal import figures
from mechagym.cli.terminal.board import Board
from mechagym.cli.terminal.page import Column, Page, fit
from mechagym.cli.terminal.screens import LiveScreen, PlainScreen, done_line, picture
from mechagym.cli.terminal.summary import groups_of, write_groups, write_ungraded
from mechagym.config import Terminal
from mechagym.events import (
    AgentSpent,
    EventBody,
    MessageSaid,
    PhaseStarted,
    ToolCalled,
    TrialEnded,
    TryEnded,
    TryStarted,
)
from mechagym.records import (
    ErrorRecord,
    Outcome,
    Phase,
    Spend,
    TrialKey,
    TrialRecord,
    TryRecord,
    Usage,
    Verdict,
    now,
)

NOW = now()
NARROW = Terminal(width=80)


def tried(
    outcome: Outcome, reward: float | None, *, seconds: float = 12, nano: int = 0
) -> TryRecord:
    error = None
    if reward is None:
        error = ErrorRecord(
            type="BoxDied", reason="box_died", message="it died\nbadly", blame="host"
        )
    return TryRecord(
        number=1,
        outcome=outcome,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=seconds),
        verdict=None if reward is None else Verdict(rewards={"reward": reward}),
        error=error,
        spend=Spend(usage=Usage(input=nano // 1000), billed_nano=nano),
    )


def trial(
    task: str, attempt: TryRecord, *, repeat: int = 1, agent: str = "oracle@1"
) -> TrialRecord:
    name = f"{task[:32]}__{repeat:07d}"
    key = TrialKey(
        trial_id=f"{agent}-{name}",
        trial_name=name,
        job_id="j",
        dataset="set",
        task=task,
        task_digest="d",
        agent=agent,
        model=None,
        repeat=repeat,
    )
    return TrialRecord(key=key, tries=(attempt,))


def life(attempt: TryRecord) -> Iterator[EventBody]:
    yield TryStarted(number=1, owner_pid=1, label="x")
    yield PhaseStarted(phase=Phase.AGENT)
    yield MessageSaid(text="I will")
    yield ToolCalled(call_id="1", tool="bash", arguments={})
    yield AgentSpent(spend=attempt.spend)
    yield TryEnded(record=attempt)
    yield TrialEnded(outcome=attempt.outcome, tries=1)


@pytest.fixture
def board() -> Board:
    seconds = iter(range(10_000))
    board = Board(clock=lambda: float(next(seconds)))
    board.begin({f"t{i}": f"a-task-with-a-rather-long-name-{i}__abcdefg" for i in range(4)}, 10)
    return board


def test_the_board_folds_a_job(board: Board):
    for body in life(tried(Outcome.PASSED, 1.0, nano=2_000_000)):
        board.take("t0", body)
    for body in life(tried(Outcome.INFRA_ERROR, None)):
        board.take("t1", body)
    *running, _, _ = life(tried(Outcome.PASSED, 1.0, nano=1_000_000))
    for body in running:
        board.take("t2", body)
    board.take("job", TryStarted(number=1, owner_pid=1, label="not a trial"))
    assert (board.sealed, board.ended, board.total) == (6, 8, 10)
    assert board.rewards == [1.0]
    assert board.outcomes == {Outcome.PASSED: 1, Outcome.INFRA_ERROR: 1}
    assert board.cost_usd == pytest.approx(0.003)
    assert board.projected_usd == pytest.approx(0.002 / 2 * 4)
    (row,) = board.running.values()
    assert (row.phase, row.turn, row.tool, row.tokens) == ("agent", 1, "bash", 1000)


def test_the_live_picture_fits_80_columns(board: Board, capsys):
    *running, _, _ = life(tried(Outcome.PASSED, 1.0, nano=1_000_000))
    for body in life(tried(Outcome.FAILED, 0.0)):
        board.take("t3", body)
    for subject in ("t0", "t1"):
        for body in running:
            board.take(subject, body)
    lines = [str(line) for line in picture(board, 80).renderables if isinstance(line, Text)]
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("━" * 14 + "─" * 6 + " 7/10  mean 0.00 [0.00, 0.79]  ETA ")
    assert "1 failed" in lines[1]
    assert "agent" in lines[2]
    assert "turn 1  1.0k  $0.001  bash" in lines[2]


def test_plain_lines(board: Board, capsys):
    screen = PlainScreen(board, NARROW)
    with screen:
        for body in life(tried(Outcome.PASSED, 1.0)):
            screen.take("t0", body)
        for body in life(tried(Outcome.INFRA_ERROR, None)):
            screen.take("t1", body)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[ 7/10] passed           a-task-with-a-rat…-name-0__abcdefg  12s",
        "[ 8/10] infra_error      a-task-with-a-rat…-name-1__abcdefg  12s",
        "        it died",
    ]


def test_colours_mean_something(board: Board):
    styles = {}
    for number, (outcome, reward) in enumerate(
        [(Outcome.PASSED, 1.0), (Outcome.TIMED_OUT, 0.0), (Outcome.INFRA_ERROR, None)]
    ):
        for body in life(tried(outcome, reward)):
            done = board.take(f"t{number}", body)
        assert done
        line = done_line(board, done, 80)
        styles[outcome] = next(s.style for s in line.spans if str(outcome) in line.plain[s.start :])
    assert [str(style) for style in styles.values()] == ["green", "red", "yellow"]


def test_the_summary_at_80_columns(capsys):
    trials = [
        trial("regex-log", tried(Outcome.PASSED, 1.0, nano=4_000_000), repeat=1),
        trial("regex-log", tried(Outcome.FAILED, 0.0), repeat=2),
        trial("a-task-whose-name-is-long-as-they-often-are", tried(Outcome.PASSED, 1.0), repeat=1),
        trial("a-task-whose-name-is-long-as-they-often-are", tried(Outcome.PASSED, 1.0), repeat=2),
        trial("broken", tried(Outcome.INFRA_ERROR, None)),
        trial("regex-log", tried(Outcome.FAILED, 0.0), agent="nop@1"),
    ]
    oracle, nop = groups_of(trials)
    assert (oracle.graded, len(oracle.trials)) == (4, 5)
    assert oracle.mean
    assert oracle.mean.mean == pytest.approx(0.75)
    assert oracle.pass_at == {1: pytest.approx(0.75), 2: pytest.approx(1.0)}
    assert nop.pass_at == {1: 0.0}
    page = Page(NARROW)
    write_groups(page, [oracle, nop])
    write_ungraded(page, [t for t in trials if not t.graded])
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    head = "agent dataset graded mean [95 %] cost tokens time"
    assert " ".join(out.splitlines()[0].split()) == head
    assert "oracle@1 set: 1 failed, 1 infra_error, 3 passed; pass@1 0.75, pass@2 1.00" in out
    assert "not graded: broken__0000001: infra_error: box_died: it died" in out
    assert "model" not in out
    assert "\x1b" not in out


def test_tables_give_way_where_they_may():
    columns = [Column(name="task", cut=True), Column(name="n", align="right")]
    rows = [[Text("x" * 100), Text("12345")]]
    assert fit(columns, rows, 80) == [73, 5]
    assert fit(columns, [[Text("short"), Text("1")]], 80) == [5, 1]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (figures.money(0), "$0"),
        (figures.money(0.004), "$0.004"),
        (figures.money(1.249), "$1.25"),
        (figures.money(1250), "$1,250"),
        (figures.tokens(950), "950"),
        (figures.tokens(12_345), "12.3k"),
        (figures.tokens(4_100_000), "4.1M"),
        (figures.duration(0.44), "0.4s"),
        (figures.duration(185), "3m05s"),
        (figures.duration(900), "15m"),
        (figures.duration(7_620), "2h07m"),
        (figures.size(512), "512 B"),
        (figures.size(12e9), "12 GB"),
        (figures.share(None), "–"),
        (figures.share(0.666, (0.35, 0.88)), "0.67 [0.35, 0.88]"),
        (figures.shortened("abcdefghij", 7), "abc…hij"),
        (figures.shortened("abc", 7), "abc"),
        (figures.ago(now() - timedelta(hours=5)), "5h ago"),
    ],
)
def test_figures(shown, text):
    assert shown == text


def test_a_terminal_without_colours_is_redrawn_all_the_same(monkeypatch, board: Board):
    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    shown = Screen()
    monkeypatch.setattr("sys.stderr", shown)
    with LiveScreen(board, Terminal(width=80, live=True, color=False)) as screen:
        for body in life(tried(Outcome.FAILED, 0.0)):
            screen.take("t0", body)
    text = shown.getvalue()
    assert "[ 7/10] failed" in text
    assert "\x1b[2K" in text
    assert not re.search(r"\x1b\[[0-9;]*m", text)
