"""Writing a Harbor task folder: for tasks that come in another form, and for new ones."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mechagym.records import Json

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile("[\x7f-\x9f]")


def write_text(path: Path, text: str, *, executable: bool = False) -> None:
    """Write a text file of a task, its folders too; what UTF-8 cannot say becomes `?`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
    if executable:
        path.chmod(0o755)


def toml_text(table: Mapping[str, Json]) -> str:
    """Write a table as TOML that reads back equal; None and what is below it is left out."""
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, Json], path: tuple[str, ...]) -> Iterator[str]:
    said = {key: value for key, value in table.items() if value is not None}
    if path:
        yield f"\n[{'.'.join(map(_key, path))}]"
    yield from (f"{_key(k)} = {_value(v)}" for k, v in said.items() if not isinstance(v, Mapping))
    for key, value in said.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return _CONTROL.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(clean, ensure_ascii=False))


def _value(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Mapping():
            entries = (f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
            return f"{{{', '.join(entries)}}}"
        case list() | tuple():
            return f"[{', '.join(_value(v) for v in value if v is not None)}]"
    return _string(str(value))
