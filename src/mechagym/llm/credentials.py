"""Where the key of a provider comes from: its file, a variable, a command; first one wins.

The environment is handed in; keys are kept for the life of this object and never printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mechagym.llm.secret import Secret

Scheme = Literal["api-key", "bearer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What opens a provider. `source` says where it was found, without the secret.

    `api-key`: the way the wire names it (`x-api-key`, `x-goog-api-key`, bearer for OpenAI's).
    `headers` go with it, as they are.
    """

    secret: Secret
    source: str
    scheme: Scheme = "api-key"
    expires_at: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
