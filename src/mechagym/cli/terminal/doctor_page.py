"""How the state of this host is shown: a line per part, with the remedy below what is lacking."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from mechagym.cli.parts import Part
from mechagym.cli.terminal.page import GREEN, RED, YELLOW, Page
from mechagym.config import Settings
from mechagym.sandbox.base import Probe

STATES = {"fine": ("ok", GREEN), "lacking": ("fail", RED), "absent": ("–", YELLOW)}
STATE_CHARS, NAME_CHARS = 6, 10


def doctor_page(
    settings: Settings, parts: Sequence[Part], probes: Sequence[Probe], *, as_json: bool
) -> None:
    """Write the parts, then the sandboxes."""
    page = Page(settings.terminal)
    if as_json:
        page.json({"parts": list(map(asdict, parts)), "sandboxes": list(map(asdict, probes))})
        return
    for part in parts:
        _line(page, part)
    page.line()
    page.line(Text("sandboxes", style="bold"))
    for probe in probes:
        _line(page, as_part(probe))


def as_part(probe: Probe) -> Part:
    """A backend as a part: one of many, so that none of them alone is lacking."""
    if not probe.usable:
        why = probe.reason or "not usable"
        return Part(name=probe.backend, state="absent", seen=why, remedy=probe.remedy)
    isolates = probe.isolation != "none"
    level = probe.isolation if isolates else "isolates nothing"
    return Part(
        name=probe.backend,
        state="fine" if isolates else "absent",
        seen=": ".join(filter(None, (level, ", ".join(probe.evidence)))),
    )


def _line(page: Page, part: Part) -> None:
    word, color = STATES[part.state]
    head = Text.assemble((f"{word:<{STATE_CHARS}}", color), f"{part.name:<{NAME_CHARS}}")
    room = max(20, page.terminal.width - STATE_CHARS - NAME_CHARS)
    page.line(_hanging(head, part.seen, room))
    if part.remedy:
        arrow = Text(" " * STATE_CHARS + f"{'':<{NAME_CHARS}}")
        page.line(_hanging(arrow, f"→ {part.remedy}", room))


def _hanging(head: Text, text: str, room: int) -> Text:
    """The text beside its head, folded under itself."""
    from textwrap import wrap

    lines = wrap(text, room, break_on_hyphens=False) or [""]
    indent = "\n" + " " * (STATE_CHARS + NAME_CHARS)
    return head + Text(indent.join(lines))
