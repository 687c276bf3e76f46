"""The agent `map`: it sees where it is, plans, has checks made, works in a loop, leaves no trace.

Read `MapAgent._work` aloud. A denied action or a failed command is data; a provider that fails for
good ends the run, and the verifier still judges what is in the box.
"""

import math
from collections.abc import Mapping

from mechagym import __version__
from mechagym.agents.base import AgentResult, Context
from mechagym.agents.map.assembly import Assembly
from mechagym.agents.map.base import Checks
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.config import MapConfig, read_config
from mechagym.agents.map.conversation import Window
from mechagym.agents.map.prologue import known, plan, snapshot, surroundings
from mechagym.agents.map.result import agent_result
from mechagym.agents.map.run import Run
from mechagym.agents.map.site import Site, admit, decomposer, evaluator, sampler
from mechagym.agents.map.status import Purse
from mechagym.agents.map.telling import Telling
from mechagym.agents.map.tools.toolbox import Toolbox
from mechagym.agents.map.types import TaskView
from mechagym.errors import ConfigError
from mechagym.events.map import MapStart
from mechagym.sandbox.base import Box
from mechagym.tasks.model import Task

ROLES = ("actor", "decomposer", "testgen")
"""What it asks models for; each may have one of its own. The evaluator asks none."""


class MapAgent:
    """See the module."""

    name = "map"
    version = __version__
    needs_model = True
    takes_checks = True
    roles = ROLES

    def __init__(
        self,
        *,
        task: Task | None = None,  # noqa: ARG002 – every agent is made with it; this one never looks
        options: Mapping[str, str] | None = None,
        config: MapConfig | None = None,
        checks: Checks | None = None,
    ) -> None:
        """`config` is for Python, `options` for the command line; `checks` is wiring's."""
        self.config = config or read_config(options or {})
        self._checks = checks

    async def prepare(self, box: Box) -> None:
        """Nothing is installed in the box."""

    async def run(self, context: Context) -> AgentResult:
        """Work. What it came to is its last event, however it ends.

        Raises ConfigError before any call of a model; SandboxError, ModelError, AgentError.
        """
        if context.open_model is None:
            raise ConfigError("agent map works with a model", remedy="name one with -m")
        await admit(context, self.config)
        site = await self._site(context)
        run = Run(site, self._checks)
        await run.carried(lambda: self._work(run, site))
        return agent_result(run.result)

    async def _work(self, run: Run, site: Site) -> None:
        """All of it, in time or not."""
        box, config = site.context.box, self.config
        toolbox = Toolbox(
            box, site.place, clock=site.clock, facts=site.context.facts, scale=site.window.scale
        )
        await toolbox.open()
        max_turns = self._max_turns(site.context)
        seen = ""
        if config.switches.snapshot == "on":
            left_s = site.clock.left_s
            seen = await snapshot(
                box,
                site.telling,
                seconds_left=None if left_s == math.inf else left_s,
                scale=site.window.scale,
            )
        view = TaskView(
            instruction=site.context.instruction,
            max_turns=max_turns,
            workdir=site.place.workdir,
            snapshot=seen,
        )
        made = await plan(box, decomposer(site), site.place, site.telling, view)
        sampling = await sampler(site)
        checked = await evaluator(site, self._checks)
        first = await known(box, site.place, made, seen=seen, window=site.window)
        assembly = Assembly(site, toolbox, evaluator=checked, sampler=sampling)
        with assembly.checking.keepsake:
            run.loop = assembly.loop(made, first, max_turns=max_turns)
            await run.loop.run()

    async def _site(self, context: Context) -> Site:
        clock, window = Clock(context.seconds_left), Window(tokens=context.facts.window_tokens)
        place = await surroundings(context)
        telling = Telling(context.emit, model=context.model)
        purse = Purse.of(context.meter)
        telling.emit(
            MapStart(
                config_digest=self.config.digest,
                switches=self.config.switches.as_text(),
                max_turns=self._max_turns(context),
                seconds_left=context.seconds_left,
                usd_left=purse.left_usd,
                window_tokens=window.tokens,
            )
        )
        assert context.open_model is not None
        return Site(
            context=context,
            open_model=context.open_model,
            config=self.config,
            place=place,
            clock=clock,
            purse=purse,
            window=window,
            telling=telling,
        )

    def _max_turns(self, context: Context) -> int:
        """The smaller of ours and the trial's own."""
        left = context.meter.left("turns")
        return (
            self.config.max_turns if left is None else max(1, min(self.config.max_turns, int(left)))
        )
