"""Puts one run's loop together from its site, plan and checks."""

from dataclasses import replace

from mechagym.agents.map import state as states
from mechagym.agents.map.actor import NativeActor
from mechagym.agents.map.base import Evaluator, Sampler
from mechagym.agents.map.checking import Checking
from mechagym.agents.map.conversation import Conversation, ConversationOptions
from mechagym.agents.map.episode import ForkEpisode, Opening
from mechagym.agents.map.first import Known, first_prompt, instruction_told, system_prompt
from mechagym.agents.map.judge import TrialJudge
from mechagym.agents.map.ladder import Ladder
from mechagym.agents.map.loop import Loop, Modules
from mechagym.agents.map.monitor import RulesMonitor
from mechagym.agents.map.result import share, since
from mechagym.agents.map.rungs import Rungs, Sampling
from mechagym.agents.map.site import Site
from mechagym.agents.map.status import deadline_note, status_line
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.types import Decomposition, ExecutionState
from mechagym.agents.map.worker import Worker
from mechagym.records import Spend
from mechagym.sandbox.base import Box


class Assembly:
    """Builds what hangs together; `loop` is the result. `max_turns` is the smaller limit."""

    def __init__(
        self,
        site: Site,
        toolbox: Toolbox,
        *,
        evaluator: Evaluator | None,
        sampler: Sampler | None,
    ) -> None:
        self._site, self._toolbox = site, toolbox
        self._evaluator, self._sampler = evaluator, sampler
        self._checking = Checking(
            site.context.box, evaluator, place=site.place, toolbox=toolbox, telling=site.telling
        )
        self._samplings = 0

    @property
    def checking(self) -> Checking:
        """Closed by who made it: it may keep a copy of the best state."""
        return self._checking

    def loop(self, plan: Decomposition, known: Known, *, max_turns: int) -> Loop:
        """The loop, ready for its first turn."""
        site, config = self._site, self._site.config
        system, first = system_prompt(config), first_prompt(known, plan)
        judge = TrialJudge(
            self._checking,
            config,
            instruction=instruction_told(known),
            telling=site.telling,
        )
        rungs = Rungs(
            site.context.box, self._checking, config, clock=site.clock, telling=site.telling
        )
        actor = NativeActor(site.open_model("actor", None))
        modules = Modules(
            actor=actor,
            worker=Worker(
                self._toolbox, self._monitor(site.context.box, None), judge, telling=site.telling
            ),
            checking=self._checking,
            judge=judge,
            orchestrator=Ladder(),
            rungs=rungs,
            conversation=self._conversation(system, first),
            telling=site.telling,
            temperature=config.temperature,
            may_begin=lambda: not site.clock.is_last,
        )
        state = states.begin(
            plan, workdir=site.place.workdir, max_turns=max_turns, flat_limit=config.flat_limit
        )
        loop = Loop(modules, replace(state, has_checks=self._evaluator is not None))
        rungs.sampling = self._sampling(
            loop, Opening(system=system, first=first, handover_chars=site.window.handover_chars)
        )
        return loop

    def _conversation(self, system: str, first: str) -> Conversation:
        site = self._site
        return Conversation(
            system,
            first,
            box=site.context.box,
            window=site.window,
            options=ConversationOptions(
                switches=site.config.switches,
                telling=site.telling,
                status_line=lambda state: status_line(state, site.clock, site.purse),
                deadline_note=lambda: deadline_note(site.clock, site.purse),
                open_model=lambda: site.open_model("actor", None),
            ),
        )

    def _sampling(self, loop: Loop, opening: Opening) -> Sampling | None:
        site = self._site
        if self._sampler is None:
            return None
        began = site.context.meter.settled

        def mean_turn() -> tuple[Spend, float]:
            turns = max(1, loop.state.total_turns)
            spent = since(site.context.meter.settled, began)
            return share(spent, turns), site.clock.elapsed_s / turns

        episode = ForkEpisode(
            state=lambda: loop.state,
            opening=opening,
            place=site.place,
            open_model=site.open_model,
            make_monitor=self._monitor,
            tell=lambda index: self._thread(loop.state, index),
            clock=site.clock,
            facts=site.context.facts,
            scale=site.window.scale,
        )
        return Sampling(
            sampler=self._sampler,
            episode=episode,
            evaluator=self._evaluator,
            place=site.place,
            meter=site.context.meter,
            mean_turn=mean_turn,
        )

    def _monitor(self, box: Box, candidate: int | None) -> RulesMonitor:
        site = self._site
        return RulesMonitor(
            box,
            site.place,
            emit=site.context.emit,
            candidate=candidate,
            on=site.config.switches.monitor == "rules",
        )

    def _thread(self, state: ExecutionState, index: int) -> Telling:
        """A candidate's own part of the trajectory; each try of it is one."""
        self._samplings += 1
        return Telling(
            self._site.context.emit,
            model=self._site.context.model,
            candidate=index,
            thread=f"candidate-{state.samplings + 1}-{index}-{self._samplings}",
        )
