"""What a command may not do: one small function per rule, each sees one program that would start.

A rule that the instruction can ask for literally (`waived_by`) gives way to it with a warning.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from posixpath import join

from mechagym.agents.map.monitor.calls import Call, Operand
from mechagym.agents.map.monitor.ground import Ground, Places, placed
from mechagym.agents.map.monitor.wrappers import SHELLS

PRIVILEGES = frozenset({"sudo", "su", "doas", "pkexec"})
DOWNLOADS = frozenset({"curl", "wget", "aria2c", "fetch", "http", "https"})
ENDS = frozenset({"shutdown", "reboot", "halt", "poweroff"})
MAKES_FILESYSTEM = re.compile(r"mkfs(\.\w+)?|mke2fs|mkswap|wipefs|blkdiscard|[cs]?fdisk|parted")
WRITERS = frozenset({"tee", "shred", "truncate", "cp", "mv", "install"})
PROGRAMS = PRIVILEGES | ENDS | DOWNLOADS | {"rm", "find", "mv", "chmod", "dd", "mkfs", "kill"}
"""Those that rules are about; text that cannot be parsed and has one of these is denied."""
_INTERPRETERS = re.compile(
    r"python[\d.]*|perl|ruby|node|nodejs|php|lua|Rscript|deno|bun|" + "|".join(sorted(SHELLS))
)
_DEVICE = re.compile(
    r"/dev/(?:[shv]d[a-z]\w*|xvd\w+|nvme\w+|mmcblk\w+|loop\d+|dm-\d+|md\d+|mapper/.+|disk/.+|"
    r"mem|kmem|port)"
)
_CLAUSE = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that is broken. `waived_by`: a pattern in the instruction that allows it after all."""

    rule: str
    reason: str
    suggestion: str
    waived_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the rules look at beside the call: the ground, and where its paths lead."""

    ground: Ground
    places: Places


Rule = Callable[[Call, Seen], Finding | None]


def path_of(call: Call, text: str) -> str | None:
    """An argument as an absolute path, not folded; None where the folder is not known."""
    if text.startswith("/"):
        return text
    return None if call.cwd is None else join(call.cwd, text)


def removes(call: Call, seen: Seen) -> Finding | None:
    """Recursive removal of what is not the agent's."""
    if call.program != "rm" or not call.has_flag("rR", "recursive"):
        return None
    for operand in call.operands:
        if problem := _removal(call, operand, seen):
            return Finding(
                rule="remove",
                reason=f"rm -r {operand.pattern or '…'}: {problem}",
                suggestion="name the files or folders to remove, each inside the working directory"
                " or /tmp",
            )
    return None


def _removal(call: Call, operand: Operand, seen: Seen) -> str:
    path = path_of(call, operand.folder)
    if operand.kind == "unknown" or path is None:
        return "what it removes cannot be known beforehand"
    exact = operand.kind == "exact"
    target = placed(path, seen.places, follow=not exact).path
    ground = seen.ground
    root = ground.root_at(target)
    if operand.kind == "some" and root == target:
        return ""
    if root is not None:
        return f"that would remove {'all of ' if not exact or root == target else ''}{root}"
    if ground.may_write(target) or ground.is_cache(target):
        return ""
    return f"{target} is outside of where you work"


def moves(call: Call, seen: Seen) -> Finding | None:
    """Moving a root, what holds one, or a folder of the system."""
    if call.program != "mv":
        return None
    targeted = call.has_flag("t", "target-directory")
    for operand in call.operands if targeted else call.operands[:-1]:
        path = path_of(call, operand.text)
        if operand.kind != "exact" or path is None:
            continue
        place = placed(path, seen.places, follow=False)
        top = place.kind != "file" and place.path.count("/") == 1 and seen.places.get(path)
        if seen.ground.root_at(place.path) or (top and top.kind == "folder"):
            return Finding(
                rule="move",
                reason=f"mv {operand.pattern}: {place.path} must stay where it is",
                suggestion="move or copy what is inside it",
            )
    return None


def opens_to_all(call: Call, _: Seen) -> Finding | None:
    """A mode that lets everybody write everything."""
    mode = ""
    if call.program == "chmod" and call.operands:
        mode = call.operands[0].text
    elif call.program in ("mkdir", "install"):
        texts = [word.text for word in call.arguments]
        after = [b for a, b in pairwise(texts) if a in ("-m", "--mode")]
        mode = next(iter(after), "") or next(
            (t.split("=", 1)[1] for t in texts if t.startswith("--mode=")), ""
        )
    if not _is_open(mode):
        return None
    return Finding(
        rule="mode",
        reason=f"{call.program} {mode}: everybody could change it",
        suggestion="use 755 for programs and folders, 644 for files",
        waived_by=rf"(?<![\w+]){re.escape(mode)}(?!\w)",
    )


def _is_open(mode: str) -> bool:
    if re.fullmatch("[0-7]{3,5}", mode):
        number = int(mode, 8)
        return number & 0o777 == 0o777 and not number & 0o1000
    granted: dict[str, set[str]] = {"u": set(), "g": set(), "o": set()}
    for clause in mode.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            return False
        for who in "ugo" if "a" in match[1] else match[1]:
            rights = set(match[3].lower())
            if match[2] == "-":
                granted[who] -= rights
            else:
                granted[who] |= rights
    return all(rights >= set("rwx") for rights in granted.values())


def runs_a_download(call: Call, _: Seen) -> Finding | None:
    """A download that is fed to an interpreter unseen."""
    sources = [made for word in call.arguments for made in word.made_by]
    sources += [made for r in call.redirections for made in r.target.made_by]
    runs = call.program in ("eval", "source", ".")
    if _INTERPRETERS.fullmatch(call.program):
        runs = True
        if _reads_program(call):
            sources += call.fed_by
    if not runs or not any(source.program in DOWNLOADS for source in sources):
        return None
    return Finding(
        rule="download",
        reason=f"a download is fed to {call.program} unseen",
        suggestion="save it to a file, look at it, then run the file",
        waived_by=r"(?:curl|wget)\b[^\n]*\|[^\n]*\b(?:sh|bash|zsh|python3?|perl|ruby|node)\b"
        r"|(?:sh|bash|eval)\b[^\n]*(?:<\(|\$\(|`)\s*(?:curl|wget)\b",
    )


def _reads_program(call: Call) -> bool:
    """Whether an interpreter takes its program from standard input."""
    if call.program in SHELLS and call.has_flag("s"):
        return True
    flags = [flag for flag in call.flags if flag != "-"]
    if any(re.fullmatch(r"-\w*[cme]|--eval|-p|-pe|-ne|-r", flag) for flag in flags):
        return False
    script = next((word.text for word in call.operands), "-")
    return script in ("-", "/dev/stdin")


def takes_privileges(call: Call, _: Seen) -> Finding | None:
    """Becoming another user."""
    if call.program not in PRIVILEGES:
        return None
    return Finding(
        rule="privileges",
        reason=f"{call.program}: you already have the rights that you are to have",
        suggestion="run the command itself",
        waived_by=rf"\b{call.program}\b",
    )


def writes_device(call: Call, _: Seen) -> Finding | None:
    """Writing to a disk past its file system."""
    targets = [r.target.text for r in call.redirections if r.writes]
    if call.program == "dd":
        targets += [word.text[3:] for word in call.arguments if word.text.startswith("of=")]
    elif MAKES_FILESYSTEM.fullmatch(call.program):
        targets += [word.text for word in call.operands]
    elif call.program in WRITERS:
        operands = [word.text for word in call.operands]
        targets += operands[-1:] if call.program in ("cp", "mv", "install") else operands
    device = next((text for text in targets if _DEVICE.fullmatch(text)), None)
    if device is None:
        return None
    return Finding(
        rule="device", reason=f"{device} is a raw device", suggestion="write to a file instead"
    )


def ends_machine(call: Call, _: Seen) -> Finding | None:
    """Shutting the machine down."""
    asked = {word.text for word in call.arguments}
    if call.program not in ENDS and not (call.program == "systemctl" and asked & ENDS):
        return None
    return Finding(
        rule="shutdown",
        reason=f"{call.program} would end the machine that you work in",
        suggestion="restart the service that needs it",
    )


def kills_all(call: Call, _: Seen) -> Finding | None:
    """Killing the first process, or every one."""
    if call.program != "kill":
        return None
    texts = [word.text for word in call.arguments]
    if texts[:1] in (["-s"], ["-n"], ["--signal"]):
        texts = texts[2:]
    elif texts and texts[0].startswith("-") and texts[0] != "--":
        texts = texts[1:]
    if not {"1", "-1"} & set(texts):
        return None
    return Finding(
        rule="kill",
        reason="kill of 1 or -1 ends the whole box",
        suggestion="kill the process by its own id",
    )


RULES: tuple[Rule, ...] = (
    removes, moves, opens_to_all, runs_a_download, takes_privileges, writes_device, ends_machine,
    kills_all,
)  # fmt: skip
