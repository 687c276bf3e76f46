"""Codex in a box: the CLI's native build, one prompt, its stream of JSON lines.

The box is the sandbox: Codex's own (and its questions) are off. The gateway is a provider of its
own in Codex's settings, by command line, so no file of settings is written.
"""

import json

from mechagym.agents.base import Context, Endpoint
from mechagym.agents.installed.codex_stream import CodexStream
from mechagym.agents.installed.commandline import LOGS, Command, needed
from mechagym.agents.installed.mounted import MountedAgent
from mechagym.agents.installed.tools import Tool

CODEX = Tool(
    name="codex",
    command="codex",
    package="@openai/codex",
    build="@openai/codex@{version}-linux-{machine}",
    binary="vendor/{triple}/bin/codex",
    any_libc=True,
)
_VARIABLE = "MECHAGYM_TOKEN"


class CodexAgent(MountedAgent):
    """`codex exec`. Options besides those of all: `reasoning_effort`."""

    name = "codex"
    tool = CODEX
    dialects = ("openai-responses",)
    more_options = ("reasoning_effort",)

    def command(self, context: Context, endpoint: Endpoint | None) -> Command:
        """What is run for this step."""
        endpoint = needed(endpoint, self.name)
        argv = [self.program, "exec", "--json", "--skip-git-repo-check"]
        argv += ["--dangerously-bypass-approvals-and-sandbox", "--model", endpoint.model]
        for key, value in self._settings(context, endpoint).items():
            argv += ["-c", f"{key}={json.dumps(value)}"]  # what JSON has of TOML reads the same
        return Command(
            argv=(*argv, "-"),
            env={"CODEX_HOME": f"{LOGS}/sessions", _VARIABLE: endpoint.token},
            stdin=context.instruction.encode("utf-8"),
            folders=(f"{LOGS}/sessions",),
        )

    def reader(self, context: Context) -> CodexStream:  # noqa: ARG002
        """Who reads its output."""
        return CodexStream()

    def _settings(self, context: Context, endpoint: Endpoint) -> dict[str, str | int | bool]:
        provider = "model_providers.mechagym"
        settings: dict[str, str | int | bool] = {
            "model_provider": "mechagym",
            f"{provider}.name": "mechagym",
            f"{provider}.base_url": f"{endpoint.url}/v1",
            f"{provider}.env_key": _VARIABLE,
            f"{provider}.wire_api": "responses",
            f"{provider}.supports_websockets": False,
            f"{provider}.stream_max_retries": 2,  # refused for money, it would ask five times more
            "analytics.enabled": False,
            "check_for_update_on_startup": False,
        }
        if context.box.info.network != "public":
            settings["web_search"] = "disabled"  # a search reaches out from the provider's side
        if effort := self.options.get("reasoning_effort"):
            settings["model_reasoning_effort"] = effort
        return settings
