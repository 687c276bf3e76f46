"""JSON schemas as models read them best: flat, with what is required first."""

from collections.abc import Mapping
from typing import Any

from mechagym.records import Json, adapter


def flat_schema(shape: Any) -> dict[str, Json]:
    """The schema of a type. References are written out, but for those that lead to themselves."""
    schema: dict[str, Json] = adapter(shape).json_schema()
    defs: Mapping[str, Json] = schema.pop("$defs", {})
    flat: dict[str, Json] = _flat(schema, defs, ())
    if "#/$defs/" in str(flat):
        flat["$defs"] = {name: _flat(inner, defs, (name,)) for name, inner in defs.items()}
    return flat


def _flat(value: Json, defs: Mapping[str, Json], trail: tuple[str, ...]) -> Json:
    match value:
        case {"$ref": str() as ref, **rest} if (name := ref.removeprefix("#/$defs/")) in defs:
            if name in trail:
                return value
            return _flat({**defs[name], **rest}, defs, (*trail, name))
        case dict():
            written = {key: _flat(inner, defs, trail) for key, inner in value.items()}
            return _required_first(written)
        case list():
            return [_flat(inner, defs, trail) for inner in value]
        case _:
            return value


def _required_first(schema: dict[str, Json]) -> dict[str, Json]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return schema
    order = [name for name in properties if name in required]
    order += [name for name in properties if name not in required]
    return {**schema, "properties": {name: properties[name] for name in order}}
