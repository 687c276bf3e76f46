"""What the gateway says itself, in the caller's dialect: one table of causes, one shape per wire.

Every message starts with `mechagym:`, and `x-should-retry` tells the SDKs whether to come again.
"""

import json
from dataclasses import dataclass

from mechagym.llm.providers import Dialect
from mechagym.records import Json

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why the gateway does not do what it is asked. `code` is OpenAI's word, `kind` Anthropic's.

    `openai_status`: where OpenAI's clients know this cause by another status.
    """

    status: int
    kind: str
    code: str
    retryable: bool = False
    openai_status: int | None = None


BUDGET = Cause(status=402, kind="billing_error", code="insufficient_quota")
TOKEN = Cause(status=401, kind="authentication_error", code="invalid_api_key")
MODEL = Cause(status=403, kind="permission_error", code="model_not_allowed")
TOOL = Cause(status=403, kind="permission_error", code="tool_not_allowed")
PATH_CLOSED = Cause(status=403, kind="permission_error", code="path_not_allowed")
PRICE = Cause(status=400, kind="invalid_request_error", code="price_unknown")
INVALID = Cause(status=400, kind="invalid_request_error", code="invalid_request")
NO_PATH = Cause(status=404, kind="not_found_error", code="not_found")
NO_MODEL = Cause(status=404, kind="not_found_error", code="model_not_found")
NO_TAPE = Cause(status=404, kind="not_found_error", code="tape_miss")
NO_UPGRADE = Cause(status=426, kind="invalid_request_error", code="upgrade_refused")
TOO_LARGE = Cause(status=413, kind="request_too_large", code="request_too_large")
TOO_SLOW = Cause(status=408, kind="invalid_request_error", code="request_timeout")
CREDENTIAL = Cause(status=502, kind="api_error", code="no_credential")
ENDED = Cause(status=403, kind="permission_error", code="trial_ended")
FAULT = Cause(status=500, kind="api_error", code="gateway_fault")
UNREACHABLE = Cause(status=502, kind="api_error", code="upstream_unreachable", retryable=True)
BUSY = Cause(
    status=529,
    kind="overloaded_error",
    code="server_overloaded",
    retryable=True,
    openai_status=503,
)


class Refused(Exception):
    """The gateway answers this request itself. The message is for the one who asked."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = f"mechagym: {message}"

    def status(self, dialect: Dialect) -> int:
        """The HTTP status in a dialect."""
        openai = self.cause.openai_status if dialect != "anthropic" else None
        return openai or self.cause.status

    def body(self, dialect: Dialect) -> bytes:
        """The body of an answer of its own."""
        return json.dumps(self._error(dialect), ensure_ascii=False).encode()

    def headers(self) -> Headers:
        """The headers that go with it, but for the body's length."""
        again = b"true" if self.cause.retryable else b"false"
        return [(b"content-type", b"application/json"), (b"x-should-retry", again)]

    def event(self, dialect: Dialect) -> bytes:
        """What ends a stream that was begun, also one that stands in the middle of an event."""
        error = self._error(dialect)
        if dialect == "openai-responses":
            error = {"type": "error", "sequence_number": 0, "param": None, **error["error"]}
        name = b"" if dialect == "openai-chat" else b"event: error\n"
        text = json.dumps(error, ensure_ascii=False).encode()
        return b"\n\n" + name + b"data: " + text + b"\n\n"

    def _error(self, dialect: Dialect) -> Json:
        if dialect == "anthropic":
            return {"type": "error", "error": {"type": self.cause.kind, "message": self.message}}
        said = {"message": self.message, "type": self.cause.kind, "param": None}
        return {"error": {**said, "code": self.cause.code}}
