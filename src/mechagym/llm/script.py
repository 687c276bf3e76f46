"""The file of a scripted model: a list of replies, read from YAML.

Each reply is text, thinking, tool calls, usage, a delay, or an error.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mechagym.errors import ConfigError
from mechagym.llm.faults import Fault, FaultKind, kind_of_status
from mechagym.records import Json

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class ScriptedUsage(BaseModel):
    """The six counts of a reply."""

    model_config = ConfigDict(extra="forbid")

    input: Count = 0
    cache_read: Count = 0
    cache_write_5m: Count = 0
    cache_write_1h: Count = 0
    output: Count = 0
    reasoning: Count = 0
    web_searches: Count = 0


class ScriptedCall(BaseModel):
    """One call of a tool."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: dict[str, Json] = {}
    id: str | None = None


class ScriptedError(BaseModel):
    """A try that fails: by an HTTP status, or by a word of the retry table."""

    model_config = ConfigDict(extra="forbid")

    status: int | None = None
    kind: FaultKind | None = None
    message: str = "scripted failure"
    retry_after_s: Seconds | None = None

    def fault(self) -> Fault:
        """What the wrappers see."""
        kind = self.kind or (kind_of_status(self.status) if self.status else "server")
        return Fault(
            kind=kind,
            error="Scripted",
            message=self.message,
            status=self.status,
            retry_after_s=self.retry_after_s,
        )


class ScriptedReply(BaseModel):
    """One reply. `usage` absent: guessed from the text; `none`: the reply says nothing of it."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    thinking: str = ""
    calls: list[ScriptedCall] = []
    usage: ScriptedUsage | Annotated[str, Field(pattern="^none$")] | None = None
    delay_s: Seconds = 0.0
    error: ScriptedError | None = None


def script_file(name: str) -> Path | None:
    """The file behind `scripted:`; None where it names a function."""
    path = Path(name)
    return path if path.exists() or ":" not in name else None


def read_script(path: Path) -> list[ScriptedReply]:
    """Read a file of replies. Raises ConfigError, naming the place."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[ScriptedReply]).validate_python(found)
    except OSError as error:
        raise ConfigError(f"scripted:{path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}") from error
