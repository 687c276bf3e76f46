"""The command `mechagym`. Nothing but the version is known before a command is asked for."""

import sys


def main() -> None:
    """Run the command line of this process; never returns."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mechagym import __version__

        sys.stdout.write(f"mechagym {__version__}\n")
        sys.exit(0)
    from mechagym.cli.app import mechagym

    mechagym(prog_name="mechagym")
