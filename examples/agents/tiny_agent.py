"""A whole coding agent in forty lines: it asks a model, runs what the model calls, and tells it.

It needs Python alone. Run it by the agent `command`, which tells it all it uses:

    mechagym run examples/tasks -t 'regex-*' -a command -m openai-chat:gpt-4o \
        --set agent.mount=examples/agents \
        --set 'agent.run=python3 /opt/mechagym/command/tiny_agent.py'
"""

import json
import os
import subprocess
import sys
import urllib.request

TURNS = 50
SHOWN_CHARS = 20_000
TOOL = {
    "type": "function",
    "function": {
        "name": "Bash",
        "description": "Run a command in the working directory and see what it prints.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def ask(messages):
    """One answer of the model."""
    asked = {"model": os.environ["MODEL"], "messages": messages, "tools": [TOOL]}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(asked).encode(),
        {
            "Authorization": "Bearer " + os.environ["OPENAI_API_KEY"],
            "Content-Type": "application/json",
        },
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=600) as response:
        return json.load(response)["choices"][0]["message"]


def run(command):
    """What a command printed, and how it ended."""
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600
    )
    return "%s\n(exit code %d)" % (done.stdout.decode("utf-8", "replace"), done.returncode)


def main():
    """Work until the model calls nothing more."""
    messages = [
        {"role": "system", "content": "Do what is asked with the tool Bash. End when it is done."},
        {"role": "user", "content": sys.stdin.read()},
    ]
    for _ in range(TURNS):
        said = ask(messages)
        messages.append(said)
        if said.get("content"):
            print(said["content"], flush=True)
        if not said.get("tool_calls"):
            return
        for call in said["tool_calls"]:
            command = json.loads(call["function"]["arguments"])["command"]
            print("$ " + command, flush=True)
            output = run(command)[-SHOWN_CHARS:]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": output})
    sys.exit("the model had no end after %d turns" % TURNS)


main()
