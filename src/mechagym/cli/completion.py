"""`mechagym completion SHELL`."""

import click

PROGRAM = "mechagym"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  mechagym completion bash > ~/.local/share/bash-completion/completions/mechagym
    zsh:   mechagym completion zsh > "${fpath[1]}/_mechagym"
    fish:  mechagym completion fish > ~/.config/fish/completions/mechagym.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover – click knows the three
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(root, {}, PROGRAM, "_MECHAGYM_COMPLETE").source())
