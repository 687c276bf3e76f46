"""Claude Code in a box: the CLI's native build, one prompt, its stream of JSON lines.

The command line is the one that Harbor uses, so that results compare; the prompt comes by standard
input, since a command line has a length and a prompt none.
"""

from collections.abc import Mapping
from typing import Any

from mechagym.agents.base import Context, Endpoint
from mechagym.agents.installed.claude_stream import ClaudeStream
from mechagym.agents.installed.commandline import LOGS, Command, needed
from mechagym.agents.installed.mounted import MountedAgent
from mechagym.agents.installed.tools import Tool
from mechagym.llm.credentials import TOKEN_HEADER

CLAUDE_CODE = Tool(
    name="claude-code",
    command="claude",
    package="@anthropic-ai/claude-code",
    build="@anthropic-ai/claude-code-linux-{machine}{suffix}@{version}",
    binary="claude",
)

TOOLS = (
    *("Bash", "Edit", "Write", "Read", "Glob", "Grep", "LS", "WebFetch"),
    *("NotebookEdit", "NotebookRead", "TodoRead", "TodoWrite", "Agent"),
)
"""What it may use without asking; a version passes over the names that it does not know."""


class ClaudeCodeAgent(MountedAgent):
    """`claude -p`. Options besides those of all: `max_turns`, and two of the CLI's own flags."""

    name = "claude-code"
    tool = CLAUDE_CODE
    dialects = ("anthropic",)
    more_options = ("max_turns", "append_system_prompt", "effort")

    def __init__(self, **made: Any) -> None:
        super().__init__(**made)
        self.number("max_turns")  # a wrong one is told before anything starts

    def command(self, context: Context, endpoint: Endpoint | None) -> Command:
        """What is run for this step."""
        endpoint = needed(endpoint, self.name)
        argv = [self.program, "--verbose", "--output-format", "stream-json", "-p"]
        argv += ["--allowedTools", ",".join(TOOLS)]
        for option in self.more_options:
            if option in self.options:
                argv += [f"--{option.replace('_', '-')}", self.options[option]]
        if endpoint.login:
            argv = ["sh", "-c", _LOGGED_IN, endpoint.login, *argv]
        return Command(
            argv=tuple(argv), env=_env(endpoint), stdin=context.instruction.encode("utf-8")
        )

    def reader(self, context: Context) -> ClaudeStream:  # noqa: ARG002
        """Who reads its output."""
        return ClaudeStream()


# the folder of sessions is collected: the login itself must not be in it
_LOGGED_IN = """
mkdir -p "$CLAUDE_CONFIG_DIR" && ln -sf "$0" "$CLAUDE_CONFIG_DIR/.credentials.json" && exec "$@"
"""


def _env(endpoint: Endpoint) -> Mapping[str, str]:
    models = (
        *("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"),
        *(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("HAIKU", "SONNET", "OPUS")),
    )
    if endpoint.login:  # a key would go before it
        token = {"ANTHROPIC_CUSTOM_HEADERS": f"{TOKEN_HEADER}: {endpoint.token}"}
    else:
        token = {"ANTHROPIC_API_KEY": endpoint.token}
    return {
        "ANTHROPIC_BASE_URL": endpoint.url,
        **token,
        **dict.fromkeys(models, endpoint.model),
        "CLAUDE_CONFIG_DIR": f"{LOGS}/sessions",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "FORCE_AUTO_BACKGROUND_TASKS": "1",
        "ENABLE_BACKGROUND_TASKS": "1",
        "IS_SANDBOX": "1",
    }
