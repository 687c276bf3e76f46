"""Walk through a command as a shell would, without running it: every program that could start."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from posixpath import join, normpath

from mechagym.agents.map.monitor.calls import Call, Operand, Redirection
from mechagym.agents.map.monitor.expand import Scope, expand, text_of, values_of
from mechagym.agents.map.monitor.nodes import (
    Assign,
    For,
    Function,
    Group,
    Node,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Word,
)
from mechagym.agents.map.monitor.syntax import parse
from mechagym.agents.map.monitor.words import Unparsable
from mechagym.agents.map.monitor.wrappers import (
    SHELLS,
    Inner,
    arguments_of_script,
    found,
    script_of,
    unwrapped,
)

DEEPEST = 12
MOST_CALLS = 2_000
_DECLARES = frozenset({"export", "local", "declare", "typeset", "readonly"})
_READS = frozenset({"read", "mapfile", "readarray", "getopts", "unset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a command comes to. `unclear`: texts in it that could not be parsed."""

    calls: tuple[Call, ...]
    fork_bomb: bool = False
    unclear: tuple[str, ...] = ()


def read(command: str, *, cwd: str, home: str) -> Reading:
    """Every program that the command could start, in the order of its text."""
    walk = _Walk(Scope(home=home, cwd=cwd))
    walk.text(command)
    return Reading(calls=tuple(walk.calls), fork_bomb=walk.fork_bomb, unclear=tuple(walk.unclear))


class _Walk:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.calls: list[Call] = []
        self.functions: dict[str, Script] = {}
        self.fork_bomb = False
        self.unclear: list[str] = []
        self.depth = 0

    # -- scripts

    def text(self, text: str) -> None:
        try:
            script = parse(text)
        except Unparsable:
            self.unclear.append(text)
        else:
            self.script(script, ())

    def script(self, script: Script, fed_by: tuple[Call, ...]) -> None:
        if self.too_much():
            return
        self.depth += 1
        for pipeline in script:
            before = self.scope.copy()
            self.pipeline(pipeline, fed_by)
            if pipeline.maybe:
                self.scope.joined(replace(before, cwd=self.scope.cwd))
        self.depth -= 1

    def pipeline(self, pipeline: Pipeline, fed_by: tuple[Call, ...]) -> None:
        for node in pipeline.commands:
            begin = len(self.calls)
            with self.subshell(len(pipeline.commands) > 1):
                self.node(node, fed_by)
            fed_by += tuple(self.calls[begin:])

    @contextmanager
    def subshell(self, really: bool = True) -> Iterator[None]:
        outer = self.scope
        if really:
            self.scope = outer.copy()
        try:
            yield
        finally:
            self.scope = outer

    def run(self, script: Script) -> tuple[Call, ...]:
        """Walk what a substitution runs."""
        begin = len(self.calls)
        with self.subshell():
            self.script(script, ())
        return tuple(self.calls[begin:])

    def node(self, node: Node, fed_by: tuple[Call, ...]) -> None:
        match node:
            case Simple():
                self.simple(node, fed_by)
            case Function(name, body):
                self.functions[name] = body
                self.fork_bomb |= _is_bomb(name, body)
            case For(name, words, body):
                values = [operand for word in words for operand in self.expand(word)]
                self.scope.variables[name] = values_of(values) if words else (None,)
                self.group(Group(body, node.redirects, maybe=True), fed_by)
            case Group():
                self.group(node, fed_by)

    def group(self, group: Group, fed_by: tuple[Call, ...]) -> None:
        if group.redirects:
            self.calls.append(Call((), self.redirections(group.redirects), self.scope.cwd, fed_by))
        with self.subshell(group.subshell):
            before = self.scope.copy()
            self.script(group.body, fed_by)
            if group.maybe:
                self.scope.joined(before)

    # -- simple commands

    def simple(self, simple: Simple, fed_by: tuple[Call, ...]) -> None:
        words = [operand for word in simple.words for operand in self.expand(word)]
        with self.subshell(bool(words) and bool(simple.assigns)):
            for assign in simple.assigns:
                self.assign(assign)
            redirections = self.redirections(simple.redirects)
            self.call(Call(tuple(words), redirections, self.scope.cwd, fed_by))

    def expand(self, word: Word) -> list[Operand]:
        return expand(word, self.scope, self.run)

    def assign(self, assign: Assign) -> None:
        values = values_of(text_of(word, self.scope, self.run) for word in assign.values)
        self.scope.variables[assign.name] = (None,) if assign.appends else values

    def redirections(self, redirects: tuple[Redirect, ...]) -> tuple[Redirection, ...]:
        made: list[Redirection] = []
        for redirect in redirects:
            if redirect.is_text:
                text = text_of(redirect.target, self.scope, self.run)
                made.append(Redirection(redirect.operator, text))
            else:
                targets = self.expand(redirect.target)
                made += [Redirection(redirect.operator, target) for target in targets]
        return tuple(made)

    def call(self, call: Call) -> None:
        """Note a call, and follow what it runs or changes."""
        self.calls.append(call)
        if call.program in self.functions:
            self.function(call)
        elif call.program in ("cd", "pushd", "popd"):
            self.change_folder(call)
        elif call.program in _DECLARES:
            self.declare(call)
        elif call.program in _READS:
            names = [word.text for word in call.operands]
            self.scope.variables.update(dict.fromkeys(names, (None,)))
        else:
            self.opened(call)

    def function(self, call: Call) -> None:
        """Walk its body; not within itself, where nothing new would be seen."""
        body = self.functions.pop(call.program)
        self.positional(call.arguments)
        self.script(body, call.fed_by)
        self.functions.setdefault(call.program, body)

    def too_much(self) -> bool:
        """Whether to give up; then what was not looked at is unclear."""
        if self.depth < DEEPEST and len(self.calls) < MOST_CALLS:
            return False
        self.unclear.append("commands within commands without end")
        return True

    def opened(self, call: Call) -> None:
        if self.too_much():
            return
        self.depth += 1
        if (text := script_of(call)) is not None:
            self.nested(call, text)
        elif call.program in SHELLS and not call.operands:
            for redirection in call.redirections:
                if redirection.operator in ("<<", "<<<"):
                    self.nested(call, redirection.target)
        elif (inner := unwrapped(call)) is not None:
            self.inner(call, inner)
        elif call.program == "find":
            for inner in found(call):
                self.inner(call, inner)
        self.depth -= 1

    def nested(self, call: Call, text: Operand) -> None:
        """Walk a text that is run as a script: by `eval` in this shell, else in another."""
        if text.known is None:
            return
        with self.subshell(call.program != "eval"):
            if call.program != "eval":
                self.positional(arguments_of_script(call)[1:])
            self.text(text.known)

    def inner(self, call: Call, inner: Inner) -> None:
        with self.subshell(bool(inner.variables)):
            self.scope.variables.update((name, (value,)) for name, value in inner.variables)
            self.call(replace(call, words=inner.words, redirections=()))

    def positional(self, words: tuple[Operand, ...]) -> None:
        whole = values_of(words) if words else (None,)
        self.scope.variables.update({"@": whole, "*": whole})
        for i in range(1, 10):
            known = words[i - 1].known if i <= len(words) else None
            self.scope.variables[str(i)] = (known,)

    def declare(self, call: Call) -> None:
        for word in call.operands:
            name, is_set, value = word.text.partition("=")
            if is_set:
                known = value if word.known is not None else None
                self.scope.variables[name] = (known,)

    def change_folder(self, call: Call) -> None:
        target = call.operands[0] if call.operands else Operand(self.scope.home)
        if call.program == "popd" or target.known is None or target.text == "-":
            self.scope.cwd = None
        elif target.text.startswith("/"):
            self.scope.cwd = normpath(target.text)
        elif self.scope.cwd is not None:
            self.scope.cwd = normpath(join(self.scope.cwd, target.text))


def _is_bomb(name: str, body: Script) -> bool:
    """Whether a function starts itself beside itself: in the background, or twice in a pipeline."""
    for pipeline in body:
        itself = sum(_calls(node, name) for node in pipeline.commands)
        if itself > 1 or (itself and pipeline.background):
            return True
        groups = [node for node in pipeline.commands if isinstance(node, Group | For)]
        if any(_is_bomb(name, group.body) for group in groups):
            return True
    return False


def _calls(node: Node, name: str) -> bool:
    if not isinstance(node, Simple) or not node.words:
        return False
    return "".join(part.text for part in node.words[0]) == name
