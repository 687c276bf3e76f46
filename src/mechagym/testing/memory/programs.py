"""The programs of the mini machine that start or look at processes, and the odd small ones."""

import datetime as dt
import hashlib
import posixpath
import signal

import anyio

from mechagym.testing.memory.builtins import BUILTINS, number_of, say
from mechagym.testing.memory.filetools import FILE_TOOLS
from mechagym.testing.memory.kernel import Program, ended
from mechagym.testing.memory.process import Process
from mechagym.testing.memory.shell import Shell

UIDS = {"root": 0, "nobody": 65534}


def uid_of(user: str) -> int:
    """A user's number; unknown names get one as a fresh account would."""
    return UIDS.get(user, int(user) if user.isdecimal() else 1000)


async def launch(
    shell: Shell, argv: list[str], ignored: frozenset[int] = frozenset()
) -> Process | int:
    """Run a program in a child, or in this very process where nothing comes after it."""
    if shell.last:
        shell.process.ignored |= ignored
        return await _bare(shell, shell.process).execute(argv)

    async def body(process: Process) -> int:
        process.ignored |= ignored
        return await _bare(shell, process).execute(argv)

    shell.process.env = shell.environment()
    return shell.kernel.spawn(shell.process, body, shell.process.fds)


def _bare(shell: Shell, process: Process) -> Shell:
    process.env = shell.environment()
    twin = Shell(shell.kernel, process, [shell.name])
    twin.last = True
    return twin


async def _ended(started: Process | int) -> int:
    if isinstance(started, int):
        return started
    return await ended(started)


async def sh(shell: Shell, argv: list[str]) -> int:
    """A shell: `-c TEXT`, a file, or standard input."""
    words, options, text = argv[1:], set[str](), None
    while words and words[0][:1] == "-" and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        if "o" in word[1:] and words:
            options.add(words.pop(0))
        options |= {letter for letter in word[1:] if letter in "eux"}
        if "c" in word[1:]:
            text = words.pop(0)
            break
    arguments = words or [argv[0]]
    if text is None and words:
        file = shell.kernel.tree.file(shell.path(words[0]))
        text = file.data.decode("utf-8", "surrogateescape")

    async def body(process: Process) -> int:
        process.env = shell.environment()
        inner = Shell(shell.kernel, process, arguments)
        inner.options |= options
        script = text if text is not None else (await _everything(process)).decode()
        return await inner.script(script)

    if shell.last:
        return await body(shell.process)
    return await ended(shell.kernel.spawn(shell.process, body, shell.process.fds))


async def _everything(process: Process) -> bytes:
    data = bytearray()
    while piece := await process.read():
        data += piece
    return bytes(data)


async def wrapper(shell: Shell, argv: list[str]) -> int:
    """`nohup`, `setsid`: another process, which minds no hang-up."""
    words = argv[1:]
    while words and words[0].startswith("-"):
        words.pop(0)
    return await _ended(await launch(shell, words, frozenset({signal.SIGHUP})))


async def env(shell: Shell, argv: list[str]) -> int:
    """Print the environment, or run a program with a changed one."""
    words = argv[1:]
    twin = shell.child(shell.process)
    while words and (words[0] in ("-i", "-") or "=" in words[0]):
        name, equals, value = words.pop(0).partition("=")
        if not equals:
            twin.variables.clear()
        else:
            twin.variables[name] = value
            twin.exported.add(name)
    if words:
        twin.last = shell.last
        return await _ended(await launch(twin, words))
    return await say(shell, "".join(f"{k}={v}\n" for k, v in twin.environment().items()))


async def sleep(shell: Shell, argv: list[str]) -> int:
    """Wait; `s`, `m`, `h`, `infinity`."""
    units = {"s": 1, "m": 60, "h": 3600}
    for word in argv[1:]:
        if word == "infinity":
            await anyio.sleep_forever()
        unit = units.get(word[-1], 0)
        await anyio.sleep(float(word[:-1] if unit else word) * (unit or 1))
    await shell.process.breathe()
    return 0


async def timeout(shell: Shell, argv: list[str]) -> int:
    """`timeout [-s SIG] [-k S] SECONDS COMMAND`."""
    words, number = argv[1:], int(signal.SIGTERM)
    while words[0][:1] == "-":
        flag = words.pop(0)
        value = words.pop(0) if flag in ("-s", "-k") else flag[2:]
        number = number_of(value) if flag.startswith("-s") else number
    twin = shell.child(shell.process)
    started = await launch(twin, words[1:])
    assert isinstance(started, Process)
    with anyio.move_on_after(float(words[0].rstrip("s"))):
        return await _ended(started)
    started.kill(number)
    await started.done.wait()
    return 124


async def id_(shell: Shell, argv: list[str]) -> int:
    """`id`, `-u`, `-g`, `-n`; `whoami`."""
    user, number = shell.process.user, uid_of(shell.process.user)
    flags = "".join(argv[1:])
    if argv[0].endswith("whoami") or "n" in flags:
        return await say(shell, f"{user}\n")
    if "u" in flags or "g" in flags:
        return await say(shell, f"{number}\n")
    return await say(shell, f"uid={number}({user}) gid={number}({user}) groups={number}({user})\n")


async def hostname(shell: Shell, argv: list[str]) -> int:  # noqa: ARG001
    """The machine's name."""
    return await say(shell, shell.variables.get("HOSTNAME", "memory") + "\n")


async def date(shell: Shell, argv: list[str]) -> int:
    """The time, UTC; `+FORMAT`."""
    form = next((word[1:] for word in argv if word.startswith("+")), "%a %b %d %H:%M:%S UTC %Y")
    now = dt.datetime.now(dt.UTC)
    return await say(shell, now.strftime(form.replace("%s", str(int(now.timestamp())))) + "\n")


async def seq(shell: Shell, argv: list[str]) -> int:
    """Numbers, one a line."""
    numbers = [int(word) for word in argv[1:]]
    first, last = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[-1])
    step = numbers[1] if len(numbers) == 3 else 1
    for start in range(first, last + 1, step * 1000):
        stop = min(start + step * 1000, last + 1)
        await say(shell, "".join(f"{n}\n" for n in range(start, stop, step)))
        await shell.process.breathe()
    return 0


async def yes(shell: Shell, argv: list[str]) -> int:
    """The same for ever."""
    line = f"{' '.join(argv[1:]) or 'y'}\n" * 1000
    while True:
        await say(shell, line)
        await shell.process.breathe()


async def name(shell: Shell, argv: list[str]) -> int:
    """`basename` and `dirname`."""
    path = argv[1].rstrip("/") or "/"
    if argv[0].endswith("dirname"):
        return await say(shell, (posixpath.dirname(path) or ".") + "\n")
    last = posixpath.basename(path)
    return await say(shell, (last.removesuffix(argv[2]) if len(argv) > 2 else last) + "\n")


async def checksum(shell: Shell, argv: list[str]) -> int:
    """`sha256sum` and `md5sum`."""
    algorithm = posixpath.basename(argv[0]).removesuffix("sum")
    for path in argv[1:] or ["-"]:
        if path == "-":
            data = await _everything(shell.process)
        else:
            data = bytes(shell.kernel.tree.file(shell.path(path)).data)
        digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        await say(shell, f"{digest}  {path}\n")
    return 0


async def useradd(shell: Shell, argv: list[str]) -> int:  # noqa: ARG001
    """Users are known by name alone."""
    return 0


PROGRAMS: dict[str, Program] = {
    **FILE_TOOLS,
    **{n: BUILTINS[n] for n in ("true", "false", "echo", "printf", "test", "[", "pwd", "kill")},
    **dict.fromkeys(("sh", "bash", "dash"), sh),
    **dict.fromkeys(("nohup", "setsid", "nice"), wrapper),
    **dict.fromkeys(("id", "whoami"), id_),
    **dict.fromkeys(("sha256sum", "md5sum"), checksum),
    **dict.fromkeys(("basename", "dirname"), name),
    **dict.fromkeys(("useradd", "adduser", "sync"), useradd),
    "env": env, "sleep": sleep, "timeout": timeout, "hostname": hostname, "date": date,
    "seq": seq, "yes": yes,
}  # fmt: skip
