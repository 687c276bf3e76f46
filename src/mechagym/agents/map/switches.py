"""What of the planner can be switched off, and between what else it can be chosen."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args, get_type_hints

OnOff = Literal["on", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Modules and helps. With all `off` it is a plain loop of tool calls: the baseline."""

    decomposer: Literal["rules", "llm", "off"] = "rules"
    monitor: Literal["rules", "off"] = "rules"
    evaluator: Literal["generated", "off"] = "generated"
    sampler: Literal["stall", "initial", "always", "off"] = "stall"
    snapshot: OnOff = "on"
    handover: OnOff = "on"
    compaction: OnOff = "on"
    forced_verification: OnOff = "on"
    deadline_notes: OnOff = "on"

    def as_text(self) -> dict[str, str]:
        """Each by its name."""
        return asdict(self)


SWITCHES: Mapping[str, tuple[str, ...]] = {
    field.name: get_args(get_type_hints(Switches)[field.name]) for field in fields(Switches)
}
"""The choices of each, its default first."""
