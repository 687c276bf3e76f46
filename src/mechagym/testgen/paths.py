"""Which paths an instruction names: absolute ones, and file names in code marks. Pure."""

import re
from pathlib import PurePosixPath

from mechagym.records.checks import TRIPWIRES

_ABSOLUTE = re.compile(r"(?<![\w.:/~<-])(/[A-Za-z0-9_.+-]+(?:/[A-Za-z0-9_.+-]+)*)/?")
_MARKED = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/])")
_KNOWN_SUFFIX = re.compile(
    r"\.(?:txt|md|csv|tsv|jsonl?|ya?ml|toml|ini|cfg|conf|ics|xml|html?|db|sqlite3?|log|py|pyz|sh|js"
    r"|ts|c|h|cc|cpp|rs|go|java|r|sql|pdf|png|jpe?g|svg|gz|zip|tar|tgz|bin|out|dat|wav|stan|lock"
    r"|ledger|so|o|a|exe|env|pem|crt|key|tex|bib|parquet|npy|pt|pkl|ipynb)$",
    re.IGNORECASE,
)


def named_paths(instruction: str, workdir: str) -> tuple[str, ...]:
    """Absolute paths in the order in which they are named; names of files stand in `workdir`."""
    found: dict[str, None] = {}
    for match in _ABSOLUTE.finditer(instruction):
        found.setdefault(match[1].rstrip("."))
    bases = {PurePosixPath(path).name for path in found}
    for marked in _MARKED.findall(instruction):
        for match in _FILE.finditer(marked):
            name = match[1].rstrip(".")
            if _KNOWN_SUFFIX.search(name) and PurePosixPath(name).name not in bases:
                found.setdefault(str(PurePosixPath(workdir) / name))
    return tuple(path for path in found if not touches_tripwire(path) and path != "/")


def touches_tripwire(text: str) -> bool:
    """Whether a text names a folder that decides the reward; `/app/tests` is an ordinary one."""
    return any(
        re.search(rf"(?<![\w.~$}}/-]){re.escape(folder)}(?![\w.-])", text) for folder in TRIPWIRES
    )
