"""What a wrapped agent is told: its instruction word for word, and how to go about it."""

from collections.abc import Sequence

FOLDER = "/tmp/mechagym-testgen"  # noqa: S108 – a folder of the box, in the agent's reach on purpose
MATRIX = "matrix.json"
MAX_ADDED_CHARS = 3_500
_INPUT_CHARS = 800

_AFTER = """

---
How to work: write your own tests before your solution, in these six steps, in this order. All \
helper files live in {folder}; nothing of them belongs to the result.

0. PARSE INPUTS. List the input files and open every one of them before you write any output. Note \
format, size and ranges.{inputs}
1. ANALYZE. Write {folder}/matrix.json by {folder}/matrix.schema.json: entities (the things the \
instruction speaks of: files, functions, rows, services), constraints (the rules it sets), and a \
tick for every constraint that applies to an entity. A rule for two things is two ticks.
2. EXPAND. Run `python3 {folder}/expand_tests.py {folder}/matrix.json`. It writes \
{folder}/test_matrix.py with a failing test for every tick, and never writes over a filled one.
3. REVIEW. Give a fresh sub-agent (without one: yourself) the instruction and what \
`expand_tests.py {folder}/matrix.json --summary` prints, from the second round on also `--diff`, \
never the whole file. It answers JSON: {{"thorough_enough": bool, "gaps": [text], "suggestions": \
[text]}}. Save the answer and keep it by `expand_tests.py {folder}/matrix.json --review FILE`. \
Close the gaps in the matrix, expand again and review again until it is thorough enough, at most 5 \
times.
4. IMPLEMENT. Fill every test; take fixtures from the real input files, and derive expected values \
from the instruction and the inputs alone. `expand_tests.py {folder}/matrix.json --stubs` must \
name none.
5. ITERATE. Write the solution, run the tests, and mend the solution, not the tests, until all are \
green after your last change: `python3 {folder}/expand_tests.py {folder}/matrix.json --run`.

Never open `/tests` or `/solution`. Install nothing for the tests.
"""


def wrap(instruction: str, input_files: Sequence[str]) -> str:
    """The instruction word for word, and the protocol after it: at most 3,500 characters more."""
    return instruction + _AFTER.format(folder=FOLDER, inputs=_named(input_files))


def _named(paths: Sequence[str]) -> str:
    """The input files as far as they fit; the agent lists the others itself."""
    kept: list[str] = []
    room = _INPUT_CHARS
    for path in paths:
        room -= len(path) + 2
        if room < 0:
            break
        kept.append(path)
    if not kept:
        return ""
    more = f" and {len(paths) - len(kept)} more" if len(kept) < len(paths) else ""
    return f" They are: {', '.join(kept)}{more}."
