"""What the mini shell does itself: everything that changes the shell or its process."""

import re
import signal

from anyio.lowlevel import checkpoint

from mechagym.testing.memory.files import File as RegularFile
from mechagym.testing.memory.files import Folder, Link, Node, fault
from mechagym.testing.memory.kernel import Program, ended
from mechagym.testing.memory.process import Exit, Leave
from mechagym.testing.memory.shell import Shell
from mechagym.testing.memory.syntax import parse

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "e": "\x1b", '"': '"'}
_ESCAPE = re.compile(r"\\(?:(0?[0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_FORMAT = re.compile(r"%(?:%|(-?\d*)([sdbxoc]))")


async def say(shell: Shell, text: str, fd: int = 1) -> int:
    """Write text; what was not UTF-8 when it was read is written as it was."""
    await shell.process.write(text.encode("utf-8", "surrogateescape"), fd)
    return 0


async def true(shell: Shell, argv: list[str]) -> int:  # noqa: ARG001
    """Succeed."""
    return 0


async def false(shell: Shell, argv: list[str]) -> int:  # noqa: ARG001
    """Fail."""
    return 1


async def echo(shell: Shell, argv: list[str]) -> int:
    """Print the arguments; `-n`, `-e`."""
    words, end = argv[1:], "\n"
    escapes = False
    while words and words[0] in ("-n", "-e", "-ne", "-en"):
        end = "" if "n" in words[0] else end
        escapes = escapes or "e" in words[0]
        words = words[1:]
    text = " ".join(words)
    return await say(shell, (_unescaped(text) if escapes else text) + end)


async def printf(shell: Shell, argv: list[str]) -> int:
    """Print by a format, again while there are arguments."""
    words = argv[2:] if argv[1] == "--" else argv[1:]
    form, rest = words[0], words[1:]
    octets = bytearray()
    while True:
        before = len(rest)
        text = _FORMAT.sub(lambda match: _formatted(match, rest), _marked(form))
        octets += b"".join(
            bytes([int(part[1:], 8) & 0xFF]) if i % 2 else part.encode("utf-8", "surrogateescape")
            for i, part in enumerate(re.split(r"(\ue000[0-7]{3})", text))
        )
        if not rest or len(rest) == before:
            break
    await shell.process.write(bytes(octets))
    return 0


def _marked(form: str) -> str:
    """Resolve escapes; octal ones become private characters, since they are bytes, not text."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            return f"\ue000{int(match[1], 8) & 0xFF:03o}"
        if match[2]:
            return f"\ue000{int(match[2], 16):03o}"
        return _ESCAPES.get(match[3], match[0])

    return _ESCAPE.sub(one, form)


def _formatted(match: re.Match[str], rest: list[str]) -> str:
    if match[0] == "%%":
        return "%"
    value = rest.pop(0) if rest else ""
    match match[2]:
        case "d":
            value = str(int(value or "0"))
        case "x" | "o":
            value = format(int(value or "0"), match[2])
        case "b":
            value = _marked(value)
        case "c":
            value = value[:1]
    width = match[1]
    if width.startswith("0"):
        return value.zfill(int(width))
    return value.ljust(int(width[1:] or 0)) if width[:1] == "-" else value.rjust(int(width or 0))


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        return chr(int(match[1], 8)) if match[1] else _ESCAPES.get(match[3] or "", match[0])

    return _ESCAPE.sub(one, text)


async def test(shell: Shell, argv: list[str]) -> int:
    """`test` and `[`."""
    words = argv[1:-1] if argv[0] == "[" else argv[1:]
    return 0 if _holds(shell, words) else 1


def _holds(shell: Shell, words: list[str]) -> bool:
    for joint, join in (("-o", any), ("-a", all)):
        if joint in words[1:-1] and len(words) > 3:
            at = words.index(joint, 1)
            return join((_holds(shell, words[:at]), _holds(shell, words[at + 1 :])))
    match words:
        case []:
            return False
        case ["!", *rest]:
            return not _holds(shell, rest)
        case [text]:
            return bool(text)
        case [flag, text]:
            return _one(shell, flag, text)
        case [left, operator, right]:
            return _two(left, operator, right)
    raise Exit(2)


def _one(shell: Shell, flag: str, text: str) -> bool:
    if flag in ("-z", "-n"):
        return bool(text) == (flag == "-n")
    node: Node | None
    if flag in ("-L", "-h"):
        try:
            return isinstance(shell.kernel.tree.find(shell.path(text), follow=False), Link)
        except OSError:
            return False
    node = shell.kernel.tree.get(shell.path(text))
    match flag:
        case "-f":
            return isinstance(node, RegularFile)
        case "-d":
            return isinstance(node, Folder)
        case "-s":
            return isinstance(node, RegularFile) and bool(node.data)
        case "-x":
            return node is not None and bool(node.mode & 0o111)
        case "-e" | "-r" | "-w" | "-O":
            return node is not None
    return False


def _two(left: str, operator: str, right: str) -> bool:
    match operator:
        case "=" | "==":
            return left == right
        case "!=":
            return left != right
    numbers = {"-eq": "__eq__", "-ne": "__ne__", "-lt": "__lt__"}
    numbers |= {"-le": "__le__", "-gt": "__gt__", "-ge": "__ge__"}
    try:
        return bool(getattr(int(left), numbers[operator])(int(right)))
    except (ValueError, KeyError):
        raise Exit(2) from None


async def cd(shell: Shell, argv: list[str]) -> int:
    """Change the working directory."""
    words = [word for word in argv[1:] if word not in ("--", "-P")]
    target = shell.path(words[0] if words else shell.variables.get("HOME", "/"))
    shell.kernel.tree.folder(target)
    parts: list[str] = []
    for part in target.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part] if part not in ("", ".") else parts
    shell.process.cwd = "/" + "/".join(parts)
    shell.variables["PWD"] = shell.process.cwd
    return 0


async def pwd(shell: Shell, argv: list[str]) -> int:  # noqa: ARG001
    """Print the working directory."""
    return await say(shell, shell.process.cwd + "\n")


async def exit_(shell: Shell, argv: list[str]) -> int:
    """End the shell."""
    raise Exit(int(argv[1]) if len(argv) > 1 else shell.status)


async def leave(shell: Shell, argv: list[str]) -> int:
    """`return`, `break`, `continue`."""
    default = shell.status if argv[0] == "return" else 1
    raise Leave(argv[0], int(argv[1]) if len(argv) > 1 else default)


async def export(shell: Shell, argv: list[str]) -> int:
    """Give variables to children; also `local` and `readonly`, without their fine points."""
    for word in argv[1:]:
        name, equals, value = word.partition("=")
        if equals:
            shell.variables[name] = value
        if argv[0] == "export":
            shell.exported.add(name)
    return 0


async def unset(shell: Shell, argv: list[str]) -> int:
    """Forget variables and functions."""
    for name in argv[1:]:
        shell.variables.pop(name, None)
        shell.functions.pop(name, None)
    return 0


async def set_(shell: Shell, argv: list[str]) -> int:
    """Options and arguments."""
    words = argv[1:]
    while words and words[0][:1] in "+-" and words[0] not in ("-", "--"):
        word = words.pop(0)
        names = [words.pop(0)] if word[1:].endswith("o") and words else []
        names += [letter for letter in word[1:] if letter != "o"]
        (shell.options.update if word[0] == "-" else shell.options.difference_update)(names)
    if words or argv[-1:] == ["--"]:
        shell.arguments[:] = words[1:] if words[:1] == ["--"] else words
    return 0


async def shift(shell: Shell, argv: list[str]) -> int:
    """Drop the first arguments."""
    del shell.arguments[: int(argv[1]) if len(argv) > 1 else 1]
    return 0


async def eval_(shell: Shell, argv: list[str]) -> int:
    """Run the arguments as a script."""
    return await shell.run(parse(" ".join(argv[1:])))


async def source(shell: Shell, argv: list[str]) -> int:
    """Run a file in this shell."""
    text = shell.kernel.tree.file(shell.path(argv[1])).data.decode("utf-8", "surrogateescape")
    try:
        return await shell.run(parse(text))
    except Leave as left:
        return left.value


async def exec_(shell: Shell, argv: list[str]) -> int:
    """Run a program in place of the shell."""
    if len(argv) == 1:
        return 0
    shell.last = True
    raise Exit(await shell.execute(argv[1:]))


async def command(shell: Shell, argv: list[str]) -> int:
    """`command -v NAME` and `type NAME`; else run it, functions passed over."""
    words = [word for word in argv[1:] if word not in ("-v", "-V")]
    if argv[0] == "command" and len(words) == len(argv) - 1:
        shell.functions.pop(words[0], None)
        return await shell.command(words)
    for name in words:
        known = name in shell.functions or name in shell.kernel.builtins
        path = shell.find(name) or (name if known else None)
        if path is None:
            return 1
        await say(shell, f"{path}\n")
    return 0


async def read(shell: Shell, argv: list[str]) -> int:
    """Read a line into variables, byte by byte so that the next reader gets the rest."""
    names = [word for word in argv[1:] if not word.startswith("-")] or ["REPLY"]
    line = bytearray()
    while (octet := await shell.process.read(1)) not in (b"", b"\n"):
        line += octet
    text = line.decode("utf-8", "surrogateescape")
    separators = shell.variables.get("IFS", " \t\n")
    fields = text.strip().split(None, len(names) - 1) if separators.strip(" \t\n") == "" else [text]
    if not separators:
        fields = [text]
    for i, name in enumerate(names):
        shell.variables[name] = fields[i] if i < len(fields) else ""
    return 0 if octet else 1


async def trap(shell: Shell, argv: list[str]) -> int:
    """Ignore signals (a handler is taken as ignoring), or run something at EXIT."""
    if len(argv) < 3:
        return 0
    for name in argv[2:]:
        if name in ("EXIT", "0"):
            shell.traps["EXIT"] = "" if argv[1] == "-" else argv[1]
        elif argv[1] == "-":
            shell.process.ignored -= {number_of(name)}
        else:
            shell.process.ignored |= {number_of(name)}
    return 0


async def wait(shell: Shell, argv: list[str]) -> int:
    """Wait for children: all, or those that are named."""
    wanted = set(argv[1:])
    status = 0
    for child in shell.children:
        if not wanted or str(child.pid) in wanted:
            status = await ended(child)
    return status if wanted else 0


async def kill(shell: Shell, argv: list[str]) -> int:
    """Send a signal; -1 is everybody but us and the box's own."""
    words = argv[1:]
    number = int(signal.SIGTERM)
    if words[0] in ("-s", "-n"):
        number, words = number_of(words[1]), words[2:]
    elif words[0][:1] == "-" and len(words) > 1:
        number, words = number_of(words[0][1:]), words[1:]
    words = words[1:] if words[:1] == ["--"] else words
    table = shell.kernel.processes()
    status = 0
    for word in words:
        pids = [p for p in table if p not in (1, shell.process.pid)] if word == "-1" else []
        pids = pids or [abs(int(word)) if word.lstrip("-").isdecimal() else 0]
        for pid in pids:
            if pid == 1:
                continue
            if pid not in table:
                await shell.complain(f"kill: ({pid}) - No such process")
                status = 1
            else:
                table[pid].kill(number)
    await checkpoint()
    await shell.process.breathe()
    return status


def number_of(name: str) -> int:
    """A signal by number or name, with or without SIG. Raises OSError."""
    if name.isdecimal():
        return int(name)
    try:
        return int(signal.Signals["SIG" + name.upper().removeprefix("SIG")])
    except KeyError:
        raise fault(22, name) from None


BUILTINS: dict[str, Program] = {
    **dict.fromkeys((":", "true", "umask", "hash", "ulimit", "shopt"), true),
    **dict.fromkeys(("return", "break", "continue"), leave),
    **dict.fromkeys(("export", "local", "readonly", "declare"), export),
    **dict.fromkeys(("test", "["), test),
    **dict.fromkeys((".", "source"), source),
    **dict.fromkeys(("command", "type"), command),
    "false": false, "echo": echo, "printf": printf, "cd": cd, "pwd": pwd, "exit": exit_,
    "unset": unset, "set": set_, "shift": shift, "eval": eval_, "exec": exec_, "read": read,
    "trap": trap, "wait": wait, "kill": kill,
}  # fmt: skip
