"""A model for the planner's ablation that knows the way and is careless on it, always alike.

It cleans up where it should not, calls its work done before it has begun, and then does as the
example's reference solution does. What it does next depends on the conversation alone.
"""

from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart

ROOT = Path(__file__).parent.parent
TASKS = ROOT / "examples" / "tasks"
WAY = "/tmp/way"
CARELESS = "cd /app && rm -rf ./* && echo cleaned"


def careless(messages: list[ModelMessage], _info: Any) -> ModelResponse:
    """The next reply. Whoever else asks (for checks, say) gets no answer of use."""
    prompt = "\n".join(str(getattr(part, "content", "")) for part in messages[0].parts)
    solution = solution_of(prompt)
    if solution is None:
        return ModelResponse(parts=[TextPart(content="I do not know.")])
    turns = _turns(prompt, solution)
    number = sum(isinstance(message, ModelResponse) for message in messages)
    calls = turns[number] if number < len(turns) else [_call("task_complete", **_DONE)]
    return ModelResponse(parts=calls)


def solution_of(prompt: str) -> Path | None:
    """The folder of the reference solution whose task stands in a prompt, word for word."""
    for path in sorted(TASKS.glob("**/instruction.md")):
        text = path.read_text(encoding="utf-8").split("-->", 1)[-1].strip()
        if text in prompt:
            return path.parent / "solution"
    return None


_DONE = {"summary": "It is done.", "confirm": True}


def _turns(prompt: str, solution: Path) -> list[list[ToolCallPart]]:
    """Its replies in order. Without a look at the machine in the prompt it looks for itself."""
    look = [_call("run_command", command="pwd; ls -la; uname -a; command -v python3 git gcc")]
    files = [
        _call("write_file", path=f"{WAY}/{path.name}", content=path.read_text(encoding="utf-8"))
        for path in sorted(solution.iterdir())
        if path.is_file()
    ]
    return [
        *([] if "# The machine" in prompt else [look]),
        [_call("run_command", command=CARELESS)],
        [_call("task_complete", summary="It is done.")],
        files,
        [_call("run_command", command=f"bash {WAY}/solve.sh; code=$?; rm -r {WAY}; exit $code")],
    ]


def _call(tool: str, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(tool_name=tool, args=arguments, tool_call_id=tool)
