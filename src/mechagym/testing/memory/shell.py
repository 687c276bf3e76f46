"""The interpreter of the mini shell: walks the tree of a script inside one process."""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import assert_never

from mechagym.testing.memory.expand import Scope
from mechagym.testing.memory.files import File
from mechagym.testing.memory.kernel import DEVICES, PROGRAM, Fds, Kernel, ended
from mechagym.testing.memory.nodes import (
    AndOr,
    Case,
    For,
    Function,
    If,
    Loop,
    Node,
    Pipeline,
    Redirect,
    Redirected,
    Sequence,
    Simple,
    Subshell,
)
from mechagym.testing.memory.process import (
    Channel,
    Exit,
    Handle,
    Leave,
    Null,
    Pipe,
    Process,
    Sink,
    Text,
    further,
    hold,
)
from mechagym.testing.memory.syntax import parse

_EXEC = parse("exec").items[0][0]


class Shell:
    """One shell process: its variables, functions and options."""

    def __init__(self, kernel: Kernel, process: Process, arguments: list[str]) -> None:
        self.kernel = kernel
        self.process = process
        self.name = arguments[0] if arguments else "sh"
        self.arguments = arguments[1:]
        self.variables = dict(process.env)
        self.exported = set(process.env)
        self.functions: dict[str, Node] = {}
        self.options: set[str] = set()
        self.traps: dict[str, str] = {}
        self.status = 0
        self.last_background = ""
        self.children: list[Process] = []
        self.last = False  # nothing comes after this command, so that it may take the process over
        self._checked = 0
        self._substitution = 0
        self.scope = Scope(
            variables=self.variables,
            arguments=self.arguments,
            tree=kernel.tree,
            run=self._substituted,
            special={
                "?": lambda: str(self.status),
                "$": lambda: str(process.pid),
                "!": lambda: self.last_background,
                "#": lambda: str(len(self.arguments)),
                "0": lambda: self.name,
                "-": lambda: "".join(sorted(o for o in self.options if len(o) == 1)),
            },
            cwd=lambda: process.cwd,
            strict=lambda: "u" in self.options,
        )

    async def script(self, text: str) -> int:
        """Run a script to its end; an EXIT trap comes last."""
        try:
            try:
                return await self.run(parse(text))
            except SyntaxError as error:
                await self.complain(f"syntax error: {error}")
                return 2
            except Leave as leave:
                return leave.value
        finally:
            if trap := self.traps.pop("EXIT", ""):
                await self.run(parse(trap))

    def child(self, process: Process) -> "Shell":
        """The same shell in a child: a copy of all it knows."""
        twin = Shell(self.kernel, process, [self.name, *self.arguments])
        twin.variables.update(self.variables)
        twin.exported |= self.exported
        twin.functions = dict(self.functions)
        twin.options = set(self.options)
        twin.status = self.status
        twin._checked = self._checked
        return twin

    def path(self, name: str) -> str:
        """A path as the process means it."""
        return posixpath.join(self.process.cwd, name)

    async def complain(self, text: str) -> None:
        """Say something on standard error."""
        await self.process.write(f"{self.name}: {text}\n".encode("utf-8", "surrogateescape"), 2)

    async def run(self, node: Node) -> int:
        """Run a tree; the status is also `$?`."""
        await self.process.breathe()
        self.status = await self._run(node)
        return self.status

    async def _run(self, node: Node) -> int:  # noqa: C901 (one arm per kind of node)
        match node:
            case Simple():
                return await self._simple(node)
            case Sequence():
                return await self._sequence(node)
            case AndOr():
                left = await self._condition(node.left)
                wanted = (left == 0) == (node.operator == "&&")
                return await self.run(node.right) if wanted else left
            case Pipeline():
                return await self._pipeline(node)
            case Redirected():
                return await self._redirected(node)
            case If():
                for condition, body in node.branches:
                    if await self._condition(condition) == 0:
                        return await self.run(body)
                return await self.run(node.otherwise) if node.otherwise else 0
            case Loop():
                return await self._loop(node)
            case For():
                return await self._for(node)
            case Case():
                return await self._case(node)
            case Subshell():
                return await ended(self.fork(node.body, self.process.fds))
            case Function():
                self.functions[node.name] = node.body
                return 0
            case _:
                assert_never(node)

    async def _sequence(self, node: Sequence) -> int:
        status = 0
        for item, background in node.items:
            if background:
                fds = {0: (Null(), False)} | {k: v for k, v in self.process.fds.items() if k}
                self.children.append(self.fork(item, fds))
                self.last_background = str(self.children[-1].pid)
                status = 0
            else:
                status = await self.run(item)
        return status

    async def _condition(self, node: Node) -> int:
        """Run what is asked for its status, so that `set -e` does not end the shell."""
        self._checked += 1
        try:
            return await self.run(node)
        finally:
            self._checked -= 1

    async def _pipeline(self, node: Pipeline) -> int:
        stages: list[Process] = []
        source = self.process.fds.get(0, (Null(), False))
        for i, command in enumerate(node.commands):
            fds = self.process.fds | {0: source}
            if i < len(node.commands) - 1:
                pipe = Pipe()
                fds[1], source = (pipe, True), (pipe, False)
            stages.append(self.fork(command, fds))
        statuses = [await ended(stage) for stage in stages]
        status = statuses[-1]
        if "pipefail" in self.options:
            status = next((s for s in reversed(statuses) if s), 0)
        return (0 if status else 1) if node.negated else self._fatal(status)

    async def _redirected(self, node: Redirected) -> int:
        fds = dict(self.process.fds)
        try:
            for redirect in node.redirects:
                await self._redirect(fds, redirect)
        except OSError as error:
            await self.complain(f"{error.filename}: {error.strerror}")
            return self._fatal(1)
        if node.body == _EXEC:
            hold(fds, 1)
            hold(self.process.fds, -1)
            self.process.fds.clear()
            self.process.fds.update(fds)
            return 0
        with self._using(fds):
            return await self.run(node.body)

    @contextmanager
    def _using(self, fds: Fds) -> Iterator[None]:
        before = self.process.fds
        hold(fds, 1)
        self.process.fds = fds
        try:
            yield
        finally:
            self.process.fds = before
            hold(fds, -1)

    async def _redirect(self, fds: Fds, redirect: Redirect) -> None:
        target = await self.scope.text_of(redirect.target)
        match redirect.how:
            case "&" if target == "-":
                fds.pop(redirect.fd, None)
            case "&":
                if not target.isdecimal() or int(target) not in fds:
                    raise OSError(9, "Bad file descriptor", target)
                fds[redirect.fd] = fds[int(target)]
            case "<<":
                fds[redirect.fd] = (Text(target.encode("utf-8", "surrogateescape")), False)
            case how:
                fds[redirect.fd] = (self.opened(self.path(target), how), how != "<")

    def opened(self, path: str, how: str = "<") -> Channel:
        """Open a file or device of the machine."""
        if path in DEVICES:
            return DEVICES[path]()
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            if path == f"/dev/{name}" and fd in self.process.fds:
                return self.process.fds[fd][0]
        tree = self.kernel.tree
        if how == "<":
            return Handle(tree.file(path))
        file = tree.create(path)
        if how == ">":
            file.data.clear()
        return Handle(file, append=how == ">>")

    async def _loop(self, node: Loop) -> int:
        status = 0
        while (await self._condition(node.condition) == 0) != node.until:
            try:
                status = await self.run(node.body)
            except Leave as leave:
                if further(leave):
                    break
        return status

    async def _for(self, node: For) -> int:
        words = self.arguments if node.words is None else await self.scope.arguments_of(node.words)
        status = 0
        for word in list(words):
            self.variables[node.name] = word
            try:
                status = await self.run(node.body)
            except Leave as leave:
                if further(leave):
                    break
        return status

    async def _case(self, node: Case) -> int:
        text = await self.scope.text_of(node.word)
        for patterns, body in node.branches:
            for pattern in patterns:
                if fnmatchcase(text, await self.scope.pattern_of(pattern)):
                    return await self.run(body)
        return 0

    async def _simple(self, node: Simple) -> int:
        self._substitution = 0
        argv = await self.scope.arguments_of(node.words)
        values = {name: await self.scope.text_of(word) for name, word in node.assigns}
        if not argv:
            self.variables.update(values)
            return self._fatal(self._substitution)
        if not values:
            return self._fatal(await self.command(argv))
        saved = {name: self.variables.get(name) for name in values}
        exported = set(self.exported)
        self.variables.update(values)
        self.exported |= set(values)
        try:
            return self._fatal(await self.command(argv))
        finally:
            self.exported &= exported
            for name, value in saved.items():
                self.variables.pop(name, None)
                if value is not None:
                    self.variables[name] = value

    def _fatal(self, status: int) -> int:
        if status and "e" in self.options and not self._checked:
            raise Exit(status)
        return status

    async def command(self, argv: list[str]) -> int:
        """Run a function, a builtin or a program and give its status."""
        if "x" in self.options:
            await self.process.write(f"+ {' '.join(argv)}\n".encode("utf-8", "replace"), 2)
        name = argv[0]
        if name in self.functions:
            return await self._call(name, argv)
        try:
            if name in self.kernel.builtins:
                return await self.kernel.builtins[name](self, argv)
            return await self.execute(argv)
        except OSError as error:
            await self.process.write(
                f"{name}: {error.filename}: {error.strerror}\n".encode("utf-8", "replace"), 2
            )
            return 1
        except (IndexError, KeyError, ValueError) as error:
            await self.complain(f"{name}: cannot do that here ({error!r})")
            return 2

    async def _call(self, name: str, argv: list[str]) -> int:
        before = list(self.arguments)
        self.arguments[:] = argv[1:]
        try:
            return await self.run(self.functions[name])
        except Leave as leave:
            if leave.how != "return":
                raise
            return leave.value
        finally:
            self.arguments[:] = before

    def find(self, name: str) -> str | None:
        """The path of a program, as PATH says."""
        if "/" in name:
            return self.path(name) if self.kernel.tree.get(self.path(name)) else None
        for folder in self.variables.get("PATH", "/bin").split(":"):
            node = self.kernel.tree.get(posixpath.join(self.process.cwd, folder, name))
            if isinstance(node, File) and node.mode & 0o111:
                return posixpath.join(folder, name)
        return None

    async def execute(self, argv: list[str]) -> int:
        """Run a program from the file tree: one of ours, or a script by its first line."""
        path = self.find(argv[0])
        if path is None:
            await self.complain(f"{argv[0]}: not found")
            return 127
        node = self.kernel.tree.find(path)
        if not isinstance(node, File) or not node.mode & 0o111:
            await self.complain(f"{argv[0]}: Permission denied")
            return 126
        if node.data == PROGRAM:
            return await self.kernel.programs[posixpath.basename(path)](self, argv)
        line = bytes(node.data[:200]).split(b"\n", 1)[0].decode("utf-8", "replace")
        words = line[2:].split() if line.startswith("#!") else ["sh"]
        if not words or posixpath.basename(words[0]) not in self.kernel.programs:
            await self.complain(f"{argv[0]}: bad interpreter")
            return 126
        return await self.execute([*words, path, *argv[1:]])

    def environment(self) -> dict[str, str]:
        """What children get."""
        return {k: v for k, v in self.variables.items() if k in self.exported}

    def fork(self, node: Node, fds: Fds) -> Process:
        """Run a tree in a child of this shell."""

        async def body(process: Process) -> int:  # noqa: ARG001
            return await twin.run_whole(node)

        self.process.env = self.environment()
        process = self.kernel.spawn(self.process, body, fds)
        twin = self.child(process)  # of what the shell knows now, not when the child first runs
        return process

    async def run_whole(self, node: Node) -> int:
        """Run a tree as all that this process does."""
        inner = node.body if isinstance(node, Redirected) else node
        self.last = isinstance(inner, Simple)
        try:
            return await self.run(node)
        except Leave as leave:
            return leave.value

    async def _substituted(self, text: str) -> str:
        output = bytearray()
        fds: Fds = self.process.fds | {1: (Sink(output.extend), True)}
        self._substitution = await ended(self.fork(parse(text), fds))
        return output.replace(b"\0", b"").decode("utf-8", "surrogateescape")
