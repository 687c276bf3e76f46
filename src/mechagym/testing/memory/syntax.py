"""The grammar of the mini shell: text to a tree of frozen nodes, parsed once per text.

Enough of POSIX for the scripts of tests: lists, pipelines, quotes, expansions, redirections, here
documents, if, while, until, for, case, functions, subshells. The rest is a SyntaxError.
"""

import re
from dataclasses import replace
from functools import lru_cache

from mechagym.testing.memory.nodes import (
    AndOr,
    Case,
    For,
    Function,
    If,
    Loop,
    Node,
    Piece,
    Pipeline,
    Redirect,
    Redirected,
    Sequence,
    Simple,
    Subshell,
    Word,
)

_NAME = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_]\w*|\d|[?$!#@*-]")
_ASSIGN = re.compile(r"([A-Za-z_]\w*)=")
_REDIRECT = re.compile(r"(\d?)(>>|>\||>&|<&|<<-|<<|>|<|&>)")
_FUNCTION = re.compile(r"([A-Za-z_]\w*)[ \t]*\([ \t]*\)")
_KEYWORD = re.compile(
    r"(if|then|elif|else|fi|while|until|for|do|done|case|esac|in|[{}!])(?=[\s;&|()]|$)"
)
_META = frozenset(" \t\n;&|<>()")


@lru_cache(maxsize=512)
def parse(text: str) -> Sequence:
    """The tree of a script. Raises SyntaxError."""
    parser = _Parser(text)
    tree = parser.sequence(())
    if parser.at < len(parser.text):
        raise SyntaxError(f"unexpected {parser.text[parser.at : parser.at + 10]!r}")
    return tree


@lru_cache(maxsize=512)
def parse_quoted(text: str) -> Word:
    """A here document's text: expansions only."""
    return _Parser(text).quoted(end="")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    # -- characters

    def blanks(self, *, lines: bool = False) -> None:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t" or (lines and char == "\n"):
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif char == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def took(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def keyword(self) -> str:
        match = _KEYWORD.match(self.text, self.at)
        return match[1] if match else ""

    def expect(self, word: str) -> None:
        self.blanks(lines=True)
        if not self.took(word):
            raise SyntaxError(f"{word} expected at {self.text[self.at : self.at + 10]!r}")

    # -- lists

    def sequence(self, stops: tuple[str, ...]) -> Sequence:
        items: list[tuple[Node, bool]] = []
        while True:
            self.blanks(lines=True)
            if self.at >= len(self.text) or self.text[self.at] == ")" or self.keyword() in stops:
                return Sequence(tuple(items))
            if self.text.startswith(";;", self.at):
                return Sequence(tuple(items))
            node = self.and_or()
            self.blanks()
            background = not self.text.startswith("&&", self.at) and self.took("&")
            items.append((node, background))
            if not background and not self.text.startswith(";;", self.at):
                self.took(";")

    def and_or(self) -> Node:
        node = self.pipeline()
        while True:
            self.blanks()
            operator = "&&" if self.took("&&") else "||" if self.took("||") else ""
            if not operator:
                return node
            self.blanks(lines=True)
            node = AndOr(node, operator, self.pipeline())

    def pipeline(self) -> Node:
        self.blanks()
        negated = self.keyword() == "!" and self.took("!")
        commands = [self.command()]
        self.blanks()
        while not self.text.startswith("||", self.at) and self.took("|"):
            self.blanks(lines=True)
            commands.append(self.command())
            self.blanks()
        return Pipeline(tuple(commands), negated) if len(commands) > 1 or negated else commands[0]

    # -- commands

    def command(self) -> Node:
        self.blanks()
        keyword = self.keyword()
        compound = {"if": self.if_, "while": self.loop, "until": self.loop, "for": self.for_}
        compound |= {"case": self.case, "{": self.group}
        node: Node
        if keyword in compound:
            self.at += len(keyword)
            node = compound[keyword](keyword)
        elif self.took("("):
            node = Subshell(self.sequence(()))
            self.expect(")")
        elif match := _FUNCTION.match(self.text, self.at):
            self.at = match.end()
            self.blanks(lines=True)
            return Function(match[1], self.command())
        else:
            return self.simple()
        redirects = self.redirects()
        return Redirected(node, redirects) if redirects else node

    def group(self, _: str) -> Node:
        body = self.sequence(("}",))
        self.expect("}")
        return body

    def if_(self, _: str) -> Node:
        branches: list[tuple[Node, Node]] = []
        otherwise: Node | None = None
        while True:
            condition = self.sequence(("then",))
            self.expect("then")
            branches.append((condition, self.sequence(("elif", "else", "fi"))))
            if not self.took("elif"):
                break
        if self.took("else"):
            otherwise = self.sequence(("fi",))
        self.expect("fi")
        return If(tuple(branches), otherwise)

    def loop(self, keyword: str) -> Node:
        condition = self.sequence(("do",))
        return Loop(condition, self.do(), keyword == "until")

    def do(self) -> Node:
        self.expect("do")
        body = self.sequence(("done",))
        self.expect("done")
        return body

    def for_(self, _: str) -> Node:
        self.blanks()
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise SyntaxError("a name expected after for")
        self.at = match.end()
        self.blanks(lines=True)
        words: list[Word] | None = None
        if self.keyword() == "in" and self.took("in"):
            words = []
            self.blanks()
            while self.at < len(self.text) and self.text[self.at] not in ";\n":
                words.append(self.word())
                self.blanks()
        self.took(";")
        return For(match[0], None if words is None else tuple(words), self.do())

    def case(self, _: str) -> Node:
        self.blanks()
        word = self.word()
        self.expect("in")
        branches: list[tuple[tuple[Word, ...], Node]] = []
        self.blanks(lines=True)
        while self.keyword() != "esac":
            self.took("(")
            patterns = [self.word()]
            self.blanks()
            while self.took("|"):
                self.blanks()
                patterns.append(self.word())
                self.blanks()
            self.expect(")")
            branches.append((tuple(patterns), self.sequence(("esac",))))
            self.took(";;")
            self.blanks(lines=True)
        self.took("esac")
        return Case(word, tuple(branches))

    def simple(self) -> Node:
        assigns: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self.blanks()
            if self.redirect(redirects):
                continue
            if self.at >= len(self.text) or self.text[self.at] in _META:
                break
            match = None if words else _ASSIGN.match(self.text, self.at)
            if match:
                self.at = match.end()
                assigns.append((match[1], self.word()))
            else:
                words.append(self.word())
        if not (assigns or words or redirects):
            raise SyntaxError(f"a command expected at {self.text[self.at : self.at + 10]!r}")
        node = Simple(tuple(assigns), tuple(words))
        return Redirected(node, tuple(redirects)) if redirects else node

    def redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        self.blanks()
        while self.redirect(found):
            self.blanks()
        return tuple(found)

    def redirect(self, found: list[Redirect]) -> bool:
        match = _REDIRECT.match(self.text, self.at)
        if match is None:
            return False
        self.at = match.end()
        self.blanks()
        how = match[2].replace(">|", ">")
        fd = int(match[1]) if match[1] else 0 if how.startswith("<") else 1
        word = self.word()
        if how in ("<<", "<<-"):
            found.append(Redirect(fd, "<<", self.here_document(word)))
        elif how == "&>":
            found += [Redirect(1, ">", word), Redirect(2, "&", (Piece("text", "1"),))]
        else:
            found.append(Redirect(fd, "&" if "&" in how else how, word))
        return True

    def here_document(self, end: Word) -> Word:
        """Cut the text out that stands after this line, up to the line `end`."""
        start = at = self.text.find("\n", self.at) + 1 or len(self.text)
        lines: list[str] = []
        while at < len(self.text):
            stop = self.text.find("\n", at) + 1 or len(self.text)
            line, at = self.text[at:stop], stop
            if line.strip("\t\n") == _plain(end):
                break
            lines.append(line)
        self.text = self.text[:start] + self.text[at:]
        if any(piece.quoted for piece in end):
            return (Piece("text", "".join(lines), quoted=True),)
        return parse_quoted("".join(lines))

    # -- words

    def word(self) -> Word:
        pieces: list[Piece] = []
        while self.at < len(self.text) and self.text[self.at] not in _META:
            char = self.text[self.at]
            if char == "'":
                end = self._find("'", self.at + 1)
                pieces.append(Piece("text", self.text[self.at + 1 : end], quoted=True))
                self.at = end + 1
            elif char == '"':
                self.at += 1
                pieces += self.quoted(end='"') or (Piece("text", "", quoted=True),)
                self.at += 1
            elif char == "\\":
                pieces.append(Piece("text", self.text[self.at + 1 : self.at + 2], quoted=True))
                self.at += 2
            elif char in "$`":
                pieces.append(self.expansion(quoted=False))
            else:
                start = self.at
                while self.at < len(self.text) and self.text[self.at] not in _META | set("'\"\\$`"):
                    self.at += 1
                pieces.append(Piece("text", self.text[start : self.at]))
        if not pieces:
            raise SyntaxError(f"a word expected at {self.text[self.at : self.at + 10]!r}")
        return tuple(pieces)

    def quoted(self, *, end: str) -> Word:
        """Text with expansions up to `end`, which is not taken."""
        pieces: list[Piece] = []
        text: list[str] = []
        while self.at < len(self.text) and (not end or self.text[self.at] != end):
            char = self.text[self.at]
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                escaped = self.text[self.at + 1]
                text.append("" if escaped == "\n" else escaped)
                self.at += 2
            elif char in "$`":
                pieces += [Piece("text", "".join(text), quoted=True)] if text else []
                text.clear()
                pieces.append(self.expansion(quoted=True))
            else:
                text.append(char)
                self.at += 1
        if end and self.at >= len(self.text):
            raise SyntaxError(f"unterminated {end}")
        return (*pieces, Piece("text", "".join(text), quoted=True)) if text else tuple(pieces)

    def expansion(self, *, quoted: bool) -> Piece:
        if self.took("`"):
            end = self._find("`", self.at)
            text, self.at = self.text[self.at : end], end + 1
            return Piece("command", text.replace("\\`", "`"), quoted)
        if self.took("$(("):
            end = self._find("))", self.at)
            text, self.at = self.text[self.at : end], end + 2
            return Piece("math", text, quoted)
        if self.took("$("):
            start = self.at
            self.sequence(())
            text = self.text[start : self.at]
            self.expect(")")
            return Piece("command", text, quoted)
        if self.took("${"):
            return self.braced(quoted)
        match = _VARIABLE.match(self.text, self.at + 1)
        self.at += 1
        if match is None:
            return Piece("text", "$", quoted)
        self.at = match.end()
        return Piece("var", match[0], quoted)

    def braced(self, quoted: bool) -> Piece:
        if self.text.startswith("#", self.at) and not self.text.startswith("#}", self.at):
            self.at += 1
            return Piece("var", self._braced_name(), quoted, "length")
        name = self._braced_name(close=False)
        operator = re.compile(r":?[-=+?]|%%?|##?|").match(self.text, self.at)
        assert operator is not None
        self.at = operator.end()
        default = self.quoted(end="}")
        self.at += 1
        if operator[0][:1] in ("%", "#"):  # a pattern, also within double quotes
            default = tuple(replace(p, quoted=False) if p.kind == "text" else p for p in default)
        return Piece("var", name, quoted, operator[0], default)

    def _braced_name(self, *, close: bool = True) -> str:
        match = _VARIABLE.match(self.text, self.at)
        if match is None:
            raise SyntaxError("bad substitution")
        self.at = match.end()
        if close:
            self.expect("}")
        return match[0]

    def _find(self, token: str, start: int) -> int:
        end = self.text.find(token, start)
        if end < 0:
            raise SyntaxError(f"unterminated {token}")
        return end


def _plain(word: Word) -> str:
    return "".join(piece.text for piece in word)
