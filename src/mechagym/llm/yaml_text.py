"""YAML as it is read here: safe, and by the loader in C where there is one, for lists are long."""

from typing import Any

import yaml


def parse_yaml(text: str) -> Any:
    """The document of a text, None where it is empty. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
