"""What a tool gives, before it is cut and digested for the model."""

from dataclasses import dataclass, replace
from typing import Self

from mechagym.agents.map.tools.shown import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """`text` for the model; `output` in its place where it may be long and is kept whole.

    `stated` is said before an output: its exit code, say. `changed` are absolute paths.
    """

    text: str = ""
    output: Output | None = None
    stated: str = ""
    ok: bool = True
    exit_code: int | None = None
    timed_out: bool = False
    changed: tuple[str, ...] = ()
    image: bytes | None = None
    media_type: str = ""
    workdir: str | None = None

    @classmethod
    def problem(cls, text: str) -> Self:
        """What went wrong, for the model to mend."""
        return cls(text=text, ok=False)

    def after(self, *, changed: tuple[str, ...], workdir: str) -> "Given":
        """The same, with what was found out after it."""
        return replace(self, changed=changed, workdir=workdir)
