"""The monitor's rules in their order: the first denial wins, warnings are joined.

The box is the wall; this is a guard rail that saves turns and catches accidents. It never judges by
substring: it sees typed actions, parsed commands and resolved paths.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from posixpath import join, normpath

from mechagym.agents.map.arguments import EditFile, ReadFile, RunCommand, TaskComplete, WriteFile
from mechagym.agents.map.monitor.calls import Call
from mechagym.agents.map.monitor.commands import PROGRAMS, RULES, Finding, Seen, path_of
from mechagym.agents.map.monitor.ground import Ground, candidates, resolve, survey_ground
from mechagym.agents.map.monitor.walk import Reading, read
from mechagym.agents.map.types import ExecutionState, Surroundings, ToolAction
from mechagym.events import Emit
from mechagym.events.map import MapTripwire
from mechagym.records.map import MonitorDecision
from mechagym.sandbox.base import Box

LOOKS_BACK = 4
REPEATS = 2
LOCKOUT = 3
_WORD = re.compile(r"[\w.-]+")
_VALUE = re.compile(r"-{0,2}[\w-]+=(/.*)", re.DOTALL)


class RulesMonitor:
    """Reviews the actions in one box. `emit` hears of tripwires; `candidate` says whose they are.

    With `on` false only the tripwires stay.
    """

    def __init__(
        self,
        box: Box,
        surroundings: Surroundings,
        *,
        emit: Emit,
        candidate: int | None = None,
        on: bool = True,
    ) -> None:
        self._box = box
        self._surroundings = surroundings
        self._emit = emit
        self._candidate = candidate
        self._on = on
        self._ground: Ground | None = None

    async def review(self, action: ToolAction, state: ExecutionState) -> MonitorDecision:
        """Allow or deny by the rules, in order. Raises SandboxError."""
        if self._ground is None:
            self._ground = await survey_ground(self._box, self._surroundings)
        case = _case(action, state, self._surroundings)
        asked = [path for named in case.paths for path in candidates(named)]
        user = self._surroundings.user
        places = await resolve(self._box, asked, user=user) if asked else {}
        seen = Seen(ground=self._ground, places=places)
        if path := _tripped(case, seen):
            self._emit(
                MapTripwire(
                    action_id=action.action_id,
                    path=path,
                    action=action.tool_name,
                    candidate=self._candidate,
                )
            )
            return _denied("tripwire", f"{path} is out of your reach", "work from the task alone")
        return _judged(case, seen, self._surroundings.instruction) if self._on else _ALLOWED


def signature(action: ToolAction) -> str:
    """What makes two actions the same: the tool and all of its arguments, contents included."""
    text = f"{action.tool_name}\0{action.tool_args.model_dump_json()}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_ALLOWED = MonitorDecision()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """An action with what it comes to: the programs of a command, and every path in it."""

    action: ToolAction
    state: ExecutionState
    reading: Reading
    paths: tuple[str, ...]


def _case(action: ToolAction, state: ExecutionState, surroundings: Surroundings) -> _Case:
    reading = Reading(calls=())
    match action.tool_args:
        case RunCommand(command=command):
            reading = read(command, cwd=state.workdir, home=surroundings.home)
            paths = [path for call in reading.calls for path in _paths_of(call)]
        case ReadFile(path=path) | WriteFile(path=path) | EditFile(path=path):
            paths = [join(state.workdir, path)]
        case _:
            paths = []
    return _Case(action=action, state=state, reading=reading, paths=tuple(dict.fromkeys(paths)))


def _paths_of(call: Call) -> Iterator[str]:
    """Every argument and redirection that can be a path, absolute; of a glob also its folder."""
    targets = [r.target for r in call.redirections if r.is_path]
    for operand in (*call.words, *targets):
        texts = {operand.pattern, operand.folder} if operand.kind != "unknown" else set()
        texts |= {match[1] for text in texts if (match := _VALUE.fullmatch(text))}
        for text in sorted(texts):
            path = path_of(call, text)
            if path is not None and text and "\n" not in text:
                yield path


def _tripped(case: _Case, seen: Seen) -> str | None:
    for path in case.paths:
        place = seen.places.get(path)
        whole = (normpath(path), place.path if place else path)
        if seen.ground.trips(*whole):
            return path
    return None


def _judged(case: _Case, seen: Seen, instruction: str) -> MonitorDecision:
    warnings: list[MonitorDecision] = []
    for decision in (
        *_bounds(case, seen),
        *_command(case, seen, instruction),
        *_repetition(case),
        *_sequence(case),
    ):
        if not decision.allowed:
            return decision
        warnings.append(decision)
    if not warnings:
        return _ALLOWED
    joined = " ".join(dict.fromkeys(warning.warning for warning in warnings))
    return MonitorDecision(warning=joined, rule=warnings[0].rule)


def _bounds(case: _Case, seen: Seen) -> Iterator[MonitorDecision]:
    match case.action.tool_args:
        case WriteFile(path=path) | EditFile(path=path):
            pass
        case _:
            return
    place = seen.places[case.paths[0]]
    if path.startswith("~"):
        yield _denied("bounds", "~ is not expanded here", "give the whole path")
    elif place.kind == "folder":
        yield _denied("bounds", f"{place.path} is a folder", "name a file in it")
    elif not seen.ground.may_write(place.path):
        roots = ", ".join(seen.ground.roots)
        yield _denied(
            "bounds", f"{place.path} is outside of {roots}", "write a file in one of them"
        )


def _command(case: _Case, seen: Seen, instruction: str) -> Iterator[MonitorDecision]:
    reading = case.reading
    if reading.fork_bomb:
        yield _denied("fork_bomb", "the function starts itself without end", "use a loop")
    for call in reading.calls:
        for rule in RULES:
            if finding := rule(call, seen):
                yield _told(finding, instruction)
    for text in reading.unclear:
        programs = sorted(PROGRAMS & set(_WORD.findall(text)))
        if programs:
            reason = f"the command cannot be read, and has {', '.join(programs)} in it"
            yield _denied("unparsed", reason, "write it in a simpler form, one step at a time")
        else:
            yield MonitorDecision(warning="The command could not be checked.", rule="unparsed")


def _told(finding: Finding, instruction: str) -> MonitorDecision:
    if finding.waived_by and re.search(finding.waived_by, instruction):
        warning = f"Allowed because the task asks for it: {finding.reason}."
        return MonitorDecision(warning=warning, rule=finding.rule)
    return _denied(finding.rule, finding.reason, finding.suggestion)


def _repetition(case: _Case) -> Iterator[MonitorDecision]:
    """The same action with the same result, twice among the last four, and nothing changed since.

    After three such denials in a row one passes: no rule locks an agent out.
    """
    if isinstance(case.action.tool_args, TaskComplete):  # its gate counts by itself
        return
    if case.state.denials[-LOCKOUT:] == ("repetition",) * LOCKOUT:
        return
    mine = signature(case.action)
    results = Counter(
        done.result.result_digest
        for done in case.state.actions[-LOOKS_BACK:]
        if done.revision == case.state.box_revision and signature(done.action) == mine
    )
    if any(times >= REPEATS for times in results.values()):
        yield _denied(
            "repetition",
            "this was done twice with the same result, and nothing has changed since",
            "try something else, or change what it depends on first",
        )


def _sequence(case: _Case) -> Iterator[MonitorDecision]:
    if not isinstance(case.action.tool_args, WriteFile):
        return
    path = normpath(case.paths[0])
    since = case.state.evaluated_revision or 0
    if any(path in e.result.changed_paths for e in case.state.actions if e.revision >= since):
        warning = f"{path} was already changed since the last check and is now overwritten."
        yield MonitorDecision(warning=warning, rule="sequence")


def _denied(rule: str, reason: str, suggestion: str) -> MonitorDecision:
    return MonitorDecision(allowed=False, rule=rule, reason=reason, suggestion=suggestion)
