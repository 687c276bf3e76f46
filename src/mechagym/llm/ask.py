"""Ask a model for a value of a type, and get one or a `ModelError`."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from mechagym.errors import ModelError
from mechagym.llm.shapes import flat_schema
from mechagym.records import adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

T = TypeVar("T")

_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


async def ask(
    model: "Model",
    messages: "Sequence[ModelMessage]",
    shape: type[T],
    *,
    settings: "ModelSettings | None" = None,
    check: Callable[[T], None] | None = None,
) -> T:
    """Ask for a value of `shape`, by the provider's strict mode where it has one.

    `check` raises ValueError where a value of that shape will not do. A reply that does not fit
    gets one more turn, with what is wrong with it. Raises ModelError with
    the reason `truncated` where the reply was cut at the output limit, `wrong_shape` where the
    second one is wrong too; and what the model itself raises.
    """
    from pydantic import ValidationError
    from pydantic_ai.direct import model_request
    from pydantic_ai.messages import ModelRequest

    said = list(messages)
    parameters = _parameters(model, shape)
    problem = ""
    for _ in range(2):
        reply = await model_request(
            model, said, model_settings=settings, model_request_parameters=parameters
        )
        try:
            value: T = adapter(shape).validate_json(_text(reply, shape))
            if check is not None:
                check(value)
        except ValueError as error:  # pydantic's is one, too
            problem = _told(error) if isinstance(error, ValidationError) else f"{error}. Mend it."
            said += [reply, ModelRequest.user_text_prompt(problem)]
        else:
            return value
    raise ModelError(
        f"{model.model_name}: no {shape.__name__} in two replies; {problem}", reason="wrong_shape"
    )


def _parameters(model: "Model", shape: type[Any]) -> "ModelRequestParameters":
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition

    strict = bool(model.profile.get("supports_json_schema_output"))
    asked = OutputObjectDefinition(
        json_schema=flat_schema(shape), name=shape.__name__, strict=strict or None
    )
    return ModelRequestParameters(
        output_mode="native" if strict else "prompted", output_object=asked
    )


def _text(reply: "ModelResponse", shape: type[Any]) -> str:
    if reply.finish_reason == "length":
        raise ModelError(
            f"{reply.model_name}: the {shape.__name__} was cut off at the output limit",
            remedy="allow more output, or ask for less at once",
            reason="truncated",
        )
    text = reply.text or ""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def _told(error: Any) -> str:
    """What is wrong with a reply, for the model to mend."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'the reply'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    ]
    return "Your reply does not fit the schema: " + "; ".join(faults) + ". Reply with JSON alone."
