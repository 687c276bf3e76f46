"""Looking around in a box that nobody has worked in yet: one run of a POSIX shell script.

It needs no Python and no GNU tool, writes nothing, and what a box cannot tell is left out and
named. The answers come from the box's own programs: good for a prompt, no evidence.
"""

import json
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from mechagym.errors import SandboxError
from mechagym.records.survey import Language, Preview, SeenFile, Survey
from mechagym.sandbox.base import MIB, Box, ExecOptions

MOST_PACKAGES = 200
MOST_NAMES = 40
_PARTS = (
    "machine",
    "tools",
    "managers",
    "environment",
    "ports",
    "files",
    "previews",
    "languages",
    "packages",
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CRED|AUTH|PRIVATE|COOKIE|SESSION", re.IGNORECASE)
_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})
_NAME = re.compile(r"[A-Za-z_]\w*")
_VERSION = re.compile(r"\d+(?:\.\d+)+\S*")
_LANGUAGES = {
    "python3": "Python",
    "python": "Python",
    "node": "Node",
    "Rscript": "R",
    "R": "R",
    "rustc": "Rust",
    "rust": "Rust",
    "go": "Go",
    "java": "Java",
}
_UNLIMITED_MB = 1 << 33
_LISTENING = "0A"
_DEFINED = {
    ".py": re.compile(r"^\s*(?:async\s+)?(?:def|class)\s+(\w+)", re.MULTILINE),
    ".js": re.compile(r"(?:function|class)\s+(\w+)|(?:const|let)\s+(\w+)\s*=\s*(?:async\s*)?\("),
    ".c": re.compile(r"^[A-Za-z_][\w\s*]*?\b(\w+)\s*\([^;{}]*\)\s*\{", re.MULTILINE),
    ".rs": re.compile(r"\b(?:fn|struct|enum|trait)\s+(\w+)"),
    ".go": re.compile(r"^(?:func\s+(?:\([^)]*\)\s*)?|type\s+)(\w+)", re.MULTILINE),
    ".java": re.compile(r"\b(?:class|interface|void|int|String|boolean)\s+(\w+)\s*[({]"),
    ".r": re.compile(r"^\s*([\w.]+)\s*(?:<-|=)\s*function", re.MULTILINE),
    ".sh": re.compile(r"^\s*(\w+)\s*\(\)", re.MULTILINE),
    ".sql": re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?\W?(\w+)", re.IGNORECASE),
}
_SAME = {".ts": ".js", ".mjs": ".js", ".h": ".c", ".cc": ".c", ".cpp": ".c"}


async def survey(
    box: Box, *, timeout_s: float, depth: int = 3, files: int = 50, previews: int = 20
) -> Survey:
    """Take it, in one exec; after `timeout_s` with what is known by then.

    Raises SandboxError (`no_survey`) where the box answered nothing at all.
    """
    mark = f"\x1e{secrets.token_hex(8)} "
    script = Path(__file__).with_name("survey.sh").read_text(encoding="utf-8")
    argv = ("sh", "-c", script, "sh", mark, str(depth), str(files), str(previews))
    result = await box.exec(argv, ExecOptions(timeout_s=timeout_s, limit_bytes=2 * MIB))
    parts, shown = _split(result.stdout.decode("utf-8", "replace"), mark)
    if "machine" not in parts:
        said = result.stderr.decode("utf-8", "replace").strip()[-300:]
        raise SandboxError(
            f"box {box.info.box_id}: it could not be surveyed: {said or 'no answer'}",
            reason="no_survey",
        )
    return _read(box, parts, shown)


def _split(text: str, mark: str) -> tuple[dict[str, str], dict[str, str]]:
    """The parts by name, and the previews by path."""
    parts: dict[str, str] = {}
    shown: dict[str, str] = {}
    for piece in text.split(mark)[1:]:
        name, _, rest = piece.partition("\n")
        kind, _, path = name.partition(" ")
        if kind == "preview":
            shown[path] = rest
        else:
            parts[kind] = rest.strip("\n")
    return parts, shown


def _read(box: Box, parts: Mapping[str, str], shown: Mapping[str, str]) -> Survey:
    facts = _facts(parts["machine"])
    count, _, listed = parts.get("files", "").partition("\n")
    ended = zip(_PARTS, (*_PARTS[1:], "end"), strict=True)  # a part ends where the next begins
    enforced = box.info.limits_enforced
    cpus, memory_mb = _cpus(facts), _memory_mb(facts)
    return Survey(
        backend=box.info.backend,
        image=box.info.image,
        network=box.info.network,
        workdir=facts.get("workdir") or box.info.workdir,
        user=facts.get("user") or box.info.user,
        system=facts.get("system", ""),
        distribution=facts.get("PRETTY_NAME", "").strip('"'),
        architecture=facts.get("architecture", ""),
        shell=facts.get("shell", ""),
        languages=_languages(parts),
        package_managers=_lines(parts, "managers"),
        tools=_lines(parts, "tools"),
        files=tuple(_files(listed)),
        files_total=int(count) if count.isdecimal() else 0,
        previews=tuple(
            Preview(path=path, text=text, names=names_in(path, text))
            for path, text in shown.items()
            if "\x00" not in text
        ),
        env_names=tuple(
            sorted(
                name
                for name in _lines(parts, "environment")
                if _NAME.fullmatch(name) and not _SECRET.search(name) and name not in _SHELL
            )
        ),
        open_ports=_ports(parts.get("ports", "")),
        cpus=cpus if cpus is not None else enforced.get("cpus"),
        memory_mb=memory_mb if memory_mb is not None else _whole(enforced.get("memory_mb")),
        disk_free_mb=_disk_mb(facts),
        lacks=tuple(part for part, following in ended if following not in parts),
    )


def names_in(path: str, text: str) -> tuple[str, ...]:
    """The names that a file defines: functions of sources, columns of tables, keys of JSON."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in {".csv", ".tsv"}:
        names = _columns(text)
    elif suffix in {".json", ".jsonl"}:
        names = _keys(text)
    elif pattern := _DEFINED.get(_SAME.get(suffix, suffix)):
        names = ["".join(match.groups("")) for match in pattern.finditer(text)]
    else:
        names = []
    return tuple(dict.fromkeys(name for name in names if name))[:MOST_NAMES]


def _columns(text: str) -> list[str]:
    header = text.split("\n", 1)[0]
    cut = max(",;\t|", key=header.count)
    names = [name.strip().strip('"') for name in header.split(cut)]
    return names if all(name and not name[0].isdigit() for name in names) else []


def _keys(text: str) -> list[str]:
    """Keys in order; read by pattern where the preview is cut."""
    try:
        found = json.loads(text)
    except ValueError:
        return re.findall(r'"([^"\\\n]{1,60})"\s*:', text)
    keys: list[str] = []

    def visit(value: object) -> None:
        if isinstance(value, dict):
            keys.extend(map(str, value))
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value[:20]:
                visit(inner)

    visit(found)
    return keys


def _facts(text: str) -> dict[str, str]:
    """`name=value` lines, and `MemTotal:` as the kernel writes it."""
    pairs = (re.split(r"=|:\s*", line, maxsplit=1) for line in text.splitlines())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def _lines(parts: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(line for line in parts.get(name, "").splitlines() if line)


def _files(listed: str) -> Iterator[SeenFile]:
    for line in listed.splitlines():
        mode, size, path = [*line.split("|", 2), "", ""][:3]
        if path and size.isdecimal():
            bits = int(mode, 16)
            yield SeenFile(
                path=path,
                size_bytes=int(size),
                mode=f"{stat.S_IMODE(bits):o}",
                is_folder=stat.S_ISDIR(bits),
            )


def _languages(parts: Mapping[str, str]) -> tuple[Language, ...]:
    packages: dict[str, list[str]] = {}
    for line in _lines(parts, "packages"):
        program, _, package = line.partition("=")
        packages.setdefault(_LANGUAGES.get(program, program), []).append(package)
    versions: dict[str, str] = {}
    for line in _lines(parts, "languages"):
        program, _, said = line.partition("=")
        found = _VERSION.search(said)
        versions.setdefault(_LANGUAGES.get(program, program), found[0] if found else said.strip())
    return tuple(
        Language(name=name, version=version, packages=tuple(packages.get(name, ())[:MOST_PACKAGES]))
        for name, version in versions.items()
    )


def _ports(table: str) -> tuple[int, ...]:
    rows = (line.split() for line in table.splitlines())
    listening = (row[1] for row in rows if len(row) > 3 and row[3] == _LISTENING)
    return tuple(sorted({int(address.rpartition(":")[2], 16) for address in listening}))


def _cpus(facts: Mapping[str, str]) -> float | None:
    """What the cgroup grants, else what the machine has."""
    quota, _, period = facts.get("cpu.max", "").partition(" ")
    quota = quota or facts.get("cpu/cpu.cfs_quota_us", "")
    period = period or facts.get("cpu/cpu.cfs_period_us", "")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return int(quota) / int(period)
    return float(facts["nproc"]) if facts.get("nproc", "").isdecimal() else None


def _memory_mb(facts: Mapping[str, str]) -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        if facts.get(name, "").isdecimal() and (limit := int(facts[name]) // MIB) < _UNLIMITED_MB:
            return limit
    total = facts.get("MemTotal", "").split()
    return int(total[0]) // 1024 if total and total[0].isdecimal() else None


def _disk_mb(facts: Mapping[str, str]) -> int | None:
    row = facts.get("df", "").split()
    return int(row[3]) // 1024 if len(row) >= 5 and row[3].isdecimal() else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
