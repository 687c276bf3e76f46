"""Looking at a box once before the agent and once after it, in one command each.

Asked are the test runners (`verify.tamper`), the files of the working directory, and which of the
wanted paths are there. All of it is evidence from the box's own programs, which a hostile agent
may have replaced.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from mechagym.run import workspace
from mechagym.run.workspace import Listing
from mechagym.sandbox.base import MIB, Box, ExecOptions
from mechagym.verify import tamper
from mechagym.verify.tamper import Fingerprint

_CUT = "\x1e"
_LIMIT_BYTES = 8 * MIB
_TIMEOUT_S = 60.0
_PRESENT = r"""
for path in %s; do
    if [ -L "$path" ] || [ -f "$path" ]; then printf '%%s\n' "$path"; fi
    [ -d "$path" ] && for inner in "$path"/* "$path"/.[!.]*; do
        if [ -e "$inner" ] || [ -L "$inner" ]; then printf '%%s\n' "$path"; break; fi
    done
done
:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What stands in a box. `present`: the wanted paths that are there and no empty folder."""

    prints: Fingerprint
    files: Listing
    present: frozenset[str]


async def survey(box: Box, wanted: Sequence[str] = ()) -> Survey:
    """Take it; whatever the box cannot tell is left out, and `prints.lacks` names it."""
    present = _PRESENT % " ".join(map(shlex.quote, wanted))
    script = f"{tamper.SCRIPT}\nprintf '\\036'\n{workspace.SCRIPT}\nprintf '\\036'\n{present}"
    options = ExecOptions(
        cwd="/",
        user="root",
        env=tamper.environment(box),
        timeout_s=_TIMEOUT_S,
        limit_bytes=_LIMIT_BYTES,
    )
    result = await box.exec(("sh", "-c", script), options)
    prints, _, rest = result.text.partition(_CUT)
    files, _, there = rest.partition(_CUT)
    found = tamper.parse(prints)
    return Survey(
        prints=found if result.ok else Fingerprint(lacks=found.lacks | {"sh"}),
        files=workspace.parse(files),
        present=frozenset(there.splitlines()),
    )
