"""Commands that are imported when they are used: `--help` of a group reads one line of each."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Later(click.Command):
    """Stands for the command at `module:attribute`; becomes it when its arguments are parsed."""

    def __init__(self, name: str, target: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self.target = target

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Load the command and let it parse; from here on click deals with the real one."""
        return self.load().make_context(info_name, args, parent=parent, **extra)

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


def later(package: str, table: Mapping[str, tuple[str, str]]) -> dict[str, click.Command]:
    """Make the `commands` of a group from `name: (module:attribute under package, one line)`."""
    return {
        name: Later(name, f"{package}.{target}", line) for name, (target, line) in table.items()
    }
