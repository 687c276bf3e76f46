"""Registry files: which tasks a named dataset has and where each lies.

`registry.json` is a list of datasets, `dataset.toml` holds one. A task lies in a git repository (at
a commit and path), or in a folder beside the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from mechagym.errors import TaskError
from mechagym.tasks.faults import fault_text
from mechagym.tasks.schema import Part, inside
from mechagym.tasks.texts import parse_toml, read_json, read_text


class Place(Part):
    """Where one task lies; `path` is in the repository, or beside the file where there is none."""

    name: str = Field(min_length=1)
    git_url: str | None = None
    git_commit_id: str | None = None
    path: Annotated[str | None, BeforeValidator(inside)] = None

    @property
    def folder(self) -> str:
        """The path, or by default the last word of the name."""
        return self.path or self.name.rpartition("/")[2]


class Listing(Part):
    """One dataset of a registry."""

    name: str = Field(min_length=1)
    version: str | None = None
    description: str = ""
    tasks: tuple[Place, ...] = ()

    @property
    def label(self) -> str:
        """The name by which it is asked for."""
        return f"{self.name}@{self.version}" if self.version else self.name


def read_registry(path: Path) -> tuple[Listing, ...]:
    """Read a registry file, JSON or TOML. Raises TaskError."""
    document = parse_toml(path, read_text(path)) if path.suffix == ".toml" else read_json(path)
    return tuple(_listing(path, entry) for entry in _entries(path, document))


def find_listing(listings: tuple[Listing, ...], label: str) -> Listing | None:
    """Find `name` (its last version) or `name@version`."""
    name, _, version = label.partition("@")
    fitting = [x for x in listings if x.name == name and version in ("", x.version)]
    return max(fitting, key=lambda x: _numbers(x.version or ""), default=None)


def _entries(path: Path, document: Any) -> Iterator[Any]:
    match document:
        case list():
            yield from document
        case {"datasets": list() as datasets}:
            yield from datasets
        case {"dataset": {"name": _} as head, **rest}:
            yield {**head, "tasks": rest.get("tasks", [])}
        case {"name": _}:
            yield document
        case _:
            raise TaskError(f"{path}:1: holds no dataset with a name")


def _listing(path: Path, entry: Any) -> Listing:
    try:
        return Listing.model_validate(entry)
    except ValidationError as error:
        told = fault_text(error.errors(include_url=False)[0])
        raise TaskError(f"{path}:1: {told}", reason="registry_invalid") from None


def _numbers(version: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(w), "") if w.isdigit() else (-1, w) for w in version.split("."))
