"""Carries out one action in one box and says what it came to.

What is long is shown in part and kept whole in the box; what changed is found by looking.
"""

import hashlib
import time
from dataclasses import dataclass

from mechagym.agents.base import ModelFacts
from mechagym.agents.map.arguments import EditFile, ReadFile, RunCommand, WriteFile
from mechagym.agents.map.clock import Clock
from mechagym.agents.map.tools.command import Commands, find_shell
from mechagym.agents.map.tools.files import write_bytes
from mechagym.agents.map.tools.footprint import PLACES, Footprint
from mechagym.agents.map.tools.given import Given
from mechagym.agents.map.tools.reading import read_file
from mechagym.agents.map.tools.shown import KEPT_BYTES, Output, cut, of_text
from mechagym.agents.map.tools.writing import edit_file, write_file
from mechagym.agents.map.types import ActionResult, Surroundings, ToolAction
from mechagym.errors import SandboxError
from mechagym.sandbox.base import Box, ExecOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an action came to, and the working directory after it."""

    result: ActionResult
    workdir: str


class Toolbox:
    """The tools of one box."""

    def __init__(
        self, box: Box, place: Surroundings, *, clock: Clock, facts: ModelFacts, scale: float = 1.0
    ) -> None:
        """`scale` below 1 shortens what is shown, for a small window."""
        self._box, self._place, self._clock, self._facts = box, place, clock, facts
        self._scale = scale
        self._outputs = 0
        self._commands = Commands(box, program="sh", folder=place.helper)
        roots = (place.workdir, place.home, *place.named, *PLACES)
        self.footprint = Footprint(box, roots=roots, without=place.helper)

    async def open(self) -> None:
        """Make our folder and see how the box is before the first action. Raises SandboxError."""
        folder = self._place.outputs
        result = await self._box.exec(
            ("sh", "-c", 'mkdir -p -m 755 "$1" && cd "$2"', "open", folder, self._place.workdir),
            ExecOptions(cwd="/", timeout_s=20.0),
        )
        if not result.ok:
            said = result.stderr.decode("utf-8", "replace").strip()
            raise SandboxError(f"no folder for the work can be made: {said}", reason="no_folder")
        self._commands = Commands(
            self._box, program=await find_shell(self._box), folder=self._place.helper
        )
        await self.footprint.look()

    async def do(self, action: ToolAction, workdir: str) -> Done:
        """Do it. Raises BoxDied, SandboxError; all else is in the result."""
        began = time.monotonic()
        given = await self._given(action, workdir)
        text, shown, output = await self._shown(given)
        result = ActionResult(
            action_id=action.action_id,
            ok=given.ok,
            output=text,
            output_chars=output.chars,
            shown_chars=shown,
            result_digest=_digest(given, output),
            exit_code=given.exit_code,
            timed_out=given.timed_out,
            duration_s=time.monotonic() - began,
            changed_paths=given.changed,
            image=given.image,
            media_type=given.media_type,
        )
        return Done(result=result, workdir=given.workdir or workdir)

    async def _given(self, action: ToolAction, workdir: str) -> Given:
        match action.tool_args:
            case ReadFile() as asked:
                images = self._facts.takes_images
                return await read_file(self._box, asked, workdir=workdir, takes_images=images)
            case WriteFile() as asked:
                return await self._wrote(await write_file(self._box, asked, workdir=workdir))
            case EditFile() as asked:
                return await self._wrote(await edit_file(self._box, asked, workdir=workdir))
            case RunCommand() as asked:
                return await self._ran(asked, workdir)
            case _:
                return Given.problem(f"{action.tool_name} is not done in the box")

    async def _wrote(self, given: Given) -> Given:
        await self.footprint.note(given.changed)
        return given

    async def _ran(self, asked: RunCommand, workdir: str) -> Given:
        timeout_s = self._clock.bounded(asked.timeout_s)
        given = await self._commands.run(asked, workdir=workdir, timeout_s=timeout_s)
        return given.after(
            changed=await self.footprint.look(),
            workdir=workdir if asked.background else await self._commands.folder_now(workdir),
        )

    async def _shown(self, given: Given) -> tuple[str, int, Output]:
        """The text for the model, how much of the output it shows, and the output."""
        output = given.output or of_text(given.text)
        part = cut(output, self._scale)
        shown = part.text(await self._kept(output)) if part else output.text
        if not given.stated:
            return shown, part.shown_chars if part else output.chars, output
        ended = shown if shown.endswith("\n") or not shown else f"{shown}\n"
        text = f"{ended}[{given.stated}]" if not given.timed_out else f"[{given.stated}]\n{shown}"
        return text, part.shown_chars if part else output.chars, output

    async def _kept(self, output: Output) -> str:
        """Keep an output in the box for the model to read; says where."""
        self._outputs += 1
        path = f"{self._place.outputs}/output-{self._outputs}.txt"
        data = output.text.encode("utf-8", "replace")[:KEPT_BYTES]
        if problem := await write_bytes(self._box, path, data):
            return f"all of it could not be kept: {problem}"
        whole = "all of it is" if output.whole else f"its first {len(data)} bytes are"
        return f"{whole} in {path}"


def _digest(given: Given, output: Output) -> str:
    """Over what the tool gave: its status, and all of the output that is known."""
    known = f"{given.exit_code} {given.ok} {output.chars}\n{output.text}{output.tail}"
    return hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()
