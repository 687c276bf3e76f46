"""What boxes cost: ours against the bare Engine API, the same work on both sides in turn.

The bare side is the Engine API for `local` too: it is what one would have without it. Where the
bare side would take minutes, it does less of the same, and a slow work is done twice: the whole
takes some four minutes on a machine that has nothing else to do.

usage: python -m benchmarks.sandbox [--sandbox NAME] [--rounds N] [--quick]
needs Docker with the image debian:bookworm-slim
"""

import argparse
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks import box_work as work
from benchmarks.box_work import Opens
from benchmarks.pairs import Figure, report, told_in_turn
from benchmarks.raw_box import RawSandbox
from mechagym.sandbox.base import BoxSpec, NetworkPolicy, RegistryImage

SPEC = BoxSpec(
    image=RegistryImage(reference="debian:bookworm-slim"),
    network=NetworkPolicy(mode="no-network"),
    stays_offline=True,  # as in a trial of a task that never asks for a network
)
BACKENDS = ("docker", "local")
Unit = Literal["s", "/s", "MB"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured; the quick ones show that it can be, not how quick it is."""

    rounds: int = 5
    commands: int = 200
    bare_commands: int = 40
    crowd: int = 32
    crowd_commands: int = 20
    bare_crowd_commands: int = 2
    many: int = 64
    big: tuple[int, int] = (2000, 200)
    workspace_mb: int = 500


QUICK = Sizes(
    rounds=1,
    commands=10,
    bare_commands=5,
    crowd=3,
    crowd_commands=3,
    many=3,
    big=(100, 5),
    workspace_mb=20,
)
SLOW_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`most` or `least` is in the row's unit, `ratio` against the bare API at most."""

    most: float | None = None
    least: float | None = None
    ratio: float | None = None

    def text(self, unit: Unit) -> str:
        """It in words."""
        parts = (
            self.most is not None and f"≤ {shown(self.most, unit)}",
            self.least is not None and f"≥ {shown(self.least, unit)}",
            self.ratio is not None and f"≤ {self.ratio:g} × the bare API",
        )
        return ", ".join(part for part in parts if part)

    def held(self, value: float, ratio: float) -> bool:
        """Whether all of it was reached."""
        return (
            (self.most is None or value <= self.most)
            and (self.least is None or value >= self.least)
            and (self.ratio is None or ratio <= self.ratio)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table. `work` does `count` things, the bare side's `bare` (default: the same)
    does `bare_count`; `slow` ones are done in fewer rounds, without a warm-up.
    """

    what: str
    work: Callable[[Opens], Awaitable[float]]
    count: int = 1
    bare: Callable[[Opens], Awaitable[float]] | None = None
    bare_count: int = 1
    unit: Unit = "s"
    slow: bool = False
    goals: dict[str, Goal] = field(default_factory=dict)


def each(done: Callable[[], float], count: int) -> float:
    """What one of so many things took."""
    return done() / count


class Opener(Protocol):
    """As much of a sandbox as is measured."""

    def open(self, spec: BoxSpec) -> AbstractAsyncContextManager[work.Room]:
        """Open a box."""
        ...


def rows(sizes: Sizes, small: Path, big: Path) -> list[Row]:
    """The table; `small` and `big` are the folders that are put."""
    files, size_mb = sizes.big
    return [
        Row(
            what="open, one command, close",
            work=work.life,
            goals={"docker": Goal(ratio=1.25), "local": Goal(most=0.06, ratio=0.25)},
        ),
        Row(
            what="best-of-3 trial: 20 files, 10 commands, 3 forks with 3 commands each",
            work=partial(work.best_of_3, folder=small),
            goals={"docker": Goal(most=0.7), "local": Goal(most=0.3)},
        ),
        Row(
            what="`true` in an open box",
            work=partial(work.commands_at_once, boxes=1, each=sizes.commands),
            count=sizes.commands,
            bare=partial(work.commands_at_once, boxes=1, each=sizes.bare_commands),
            bare_count=sizes.bare_commands,
            goals=dict.fromkeys(BACKENDS, Goal(most=0.003)),
        ),
        Row(
            what=f"`true` in {sizes.crowd} boxes at once",
            work=partial(work.commands_at_once, boxes=sizes.crowd, each=sizes.crowd_commands),
            count=sizes.crowd * sizes.crowd_commands,
            bare=partial(work.commands_at_once, boxes=sizes.crowd, each=sizes.bare_crowd_commands),
            bare_count=sizes.crowd * sizes.bare_crowd_commands,
            unit="/s",
            slow=True,
            goals=dict.fromkeys(BACKENDS, Goal(least=1000)),
        ),
        Row(
            what=f"{sizes.many} boxes at once, each opened, used and closed",
            work=partial(work.boxes_at_once, boxes=sizes.many),
            count=sizes.many,
            bare_count=sizes.many,
            unit="/s",
            slow=True,
            goals={"docker": Goal(least=9), "local": Goal(least=20)},
        ),
        Row(
            what="put 20 files, 1 MB",
            work=partial(work.put, folder=small),
            goals={"docker": Goal(ratio=1.2), "local": Goal(most=0.01)},
        ),
        Row(
            what=f"put {files:,} files, {size_mb} MB",
            work=partial(work.put, folder=big),
            slow=True,
            goals={"docker": Goal(ratio=1.2), "local": Goal(most=0.9)},
        ),
        Row(
            what="the same again by `cp -r` inside of the box",
            work=partial(work.copy, folder=big),
            slow=True,
        ),
        Row(
            what=f"fork of a workspace of {sizes.workspace_mb} MB",
            work=partial(work.fork, size_mb=sizes.workspace_mb),
            slow=True,
            goals={"local": Goal(most=0.05)},
        ),
        Row(
            what="memory of an idle box beside the page cache",
            work=work.idle_memory,
            unit="MB",
            goals={"local": Goal(most=3.0)},
        ),
    ]


def shown(value: float, unit: Unit) -> str:
    """A value for a reader: three digits that count."""
    if unit == "s":
        return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"
    return f"{value:,.0f}{unit}" if unit == "/s" and value >= 100 else f"{value:.3g} {unit}"


def figure(backend: str, row: Row, told: tuple[float, float, float]) -> Figure:
    """A measured row: what one thing took on both sides, and the ratio."""
    ours, raw = (1 / t if row.unit == "/s" else t for t in told[:2])
    goal = row.goals.get(backend, Goal())
    text = goal.text(row.unit)
    return Figure(
        what=f"{backend}: {row.what}",
        value=f"{shown(ours, row.unit)}, bare API {shown(raw, row.unit)}: {told[2]:.3g} ×",
        goal=text,
        held=goal.held(ours, told[2]) if text else None,
    )


def growth(backend: str, told: float) -> Figure:
    """The one thing that the bare API has no counterpart of."""
    return Figure(
        what=f"{backend}: threads and processes of the controller per open box",
        value=f"{told:.2g}",
        goal="0",
        held=told <= 0,
    )


def measured(portal: BlockingPortal, backend: str, table: list[Row], rounds: int) -> list[Figure]:
    """All rows of one backend, each in turn with the bare API, in one event loop."""
    ours = partial(made(backend).open, SPEC)
    raw = partial(RawSandbox().open, SPEC)
    found = []
    for row in table:
        told = told_in_turn(
            partial(each, partial(portal.call, row.work, ours), row.count),
            partial(each, partial(portal.call, row.bare or row.work, raw), row.bare_count),
            min(rounds, SLOW_ROUNDS) if row.slow else rounds,
            warm_up=not row.slow,
        )
        found.append(figure(backend, row, told))
    return [*found, growth(backend, portal.call(work.controller_growth, ours, 4))]


def made(backend: str) -> Opener:
    """A sandbox by its name."""
    if backend == "docker":
        from mechagym.sandbox.docker import DockerSandbox

        return DockerSandbox()
    from mechagym.sandbox.local import LocalSandbox

    return LocalSandbox()


def make_files(folder: Path, files: int, size_mb: int) -> Path:
    """A folder of so many files, in subfolders of a hundred, of so much in all."""
    content = bytes(range(256)) * (size_mb * 4096 // files)
    for number in range(files):
        path = folder / f"part{number // 100}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--sandbox", action="append", choices=BACKENDS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    sizes = QUICK if args.quick else Sizes()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, start_blocking_portal() as portal:
        root = Path(name)
        small = make_files(root / "small", 20, 1)
        table = rows(sizes, small, make_files(root / "big", *sizes.big))
        for backend in args.sandbox or BACKENDS:
            figures += measured(portal, backend, table, args.rounds or sizes.rounds)
    report("What boxes cost", figures)


if __name__ == "__main__":
    main()
