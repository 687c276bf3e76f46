"""The characters and words of shell text: quotes, expansions and here-documents."""

import re
from dataclasses import replace

from mechagym.agents.map.monitor.nodes import Part, Script, Word

META = frozenset(" \t\n;&|<>()")
_PLAIN_ENDS = META | frozenset("'\"\\$`")
_NAME = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_]\w*|\d|[?$!#@*-]")
_BRACED = re.compile(r"([A-Za-z_]\w*|\d+|[@*])(\[[^\]]*\])?(:?[-=+]|)")

_ESCAPE = re.compile(
    r"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|c.|.)", re.DOTALL
)
_ESCAPED = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))


class Unparsable(Exception):
    """Text that this parser cannot read; what it is in a shell is not known."""


class Cursor:
    """A place in a text, and what can be read there. A subclass reads commands (`nested`)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def nested(self) -> Script:
        """Read the commands of `$( )`, its closing bracket included."""
        raise NotImplementedError

    def parsed(self, text: str) -> Script:
        """Read the commands of another text."""
        raise NotImplementedError

    def rest(self) -> str:
        """What comes next, for a message."""
        return repr(self.text[self.at : self.at + 20] or "the end")

    def next(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def blanks(self, *, lines: bool = False) -> None:
        """Pass over white space and comments; over line ends where `lines`."""
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
        """Take the token if it comes next."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        """Take the token. Raises Unparsable where something else comes."""
        self.blanks(lines=True)
        if not self.took(token):
            raise Unparsable(f"{token} expected at {self.rest()}")

    def until(self, token: str) -> str:
        """Take all up to and with the token; give what stands before it."""
        end = self.text.find(token, self.at)
        if end < 0:
            raise Unparsable(f"{token} is missing")
        taken, self.at = self.text[self.at : end], end + len(token)
        return taken

    def name(self) -> str:
        """Take the name of a variable."""
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise Unparsable(f"a name expected at {self.rest()}")
        self.at = match.end()
        return match[0]

    def word(self) -> Word:
        """Take one word. Raises Unparsable where none comes."""
        parts: list[Part] = []
        while (char := self.next()) and (char not in META or self._substitutes()):
            if char in "<>":
                self.at += 2
                parts.append(Part("process", script=self.nested()))
            elif char == "\\":
                text = self.text[self.at + 1 : self.at + 2]
                parts += [Part("text", text, quoted=True)] if text != "\n" else []
                self.at += 2
            elif char in "'\"$`":
                parts += self.quotation(char)
            else:
                start = self.at
                while self.next() and self.next() not in _PLAIN_ENDS:
                    self.at += 1
                parts.append(Part("text", self.text[start : self.at]))
        if not parts:
            raise Unparsable(f"a word expected at {self.rest()}")
        return tuple(parts)

    def quotation(self, char: str) -> Word:
        """Take what begins with a quote, a dollar or a backtick."""
        if self.took("$'"):
            return (Part("text", self._ansi(), quoted=True),)
        if self.took("'"):
            return (Part("text", self.until("'"), quoted=True),)
        if char == '"' or self.text.startswith('$"', self.at):
            self.at += 1 if char == '"' else 2
            parts = self.quoted(end='"')
            self.at += 1
            return parts or (Part("text", quoted=True),)
        return (self.expansion(quoted=False),)

    def quoted(self, *, end: str) -> Word:
        """Text with expansions up to `end` (empty: to the end of the text), which is not taken."""
        parts: list[Part] = []
        text: list[str] = []
        while (char := self.next()) and char != end:
            escaped = self.text[self.at + 1 : self.at + 2]
            if char == "\\" and escaped in ("$", "`", "\\", "\n", end):
                text.append("" if escaped == "\n" else escaped)
                self.at += 2
            elif char in "$`":
                parts += [Part("text", "".join(text), quoted=True)] if text else []
                text.clear()
                parts.append(self.expansion(quoted=True))
            else:
                text.append(char)
                self.at += 1
        if end and not char:
            raise Unparsable(f"{end} is not closed")
        return (*parts, Part("text", "".join(text), quoted=True)) if text else tuple(parts)

    def expansion(self, *, quoted: bool) -> Part:
        """Take what begins with a dollar or a backtick."""
        if self.took("`"):
            text = self._backticked()
            return Part("command", quoted=quoted, script=self.parsed(text))
        if self.text.startswith("$((", self.at) and self._arithmetic():
            return Part("unknown", quoted=quoted)
        if self.took("$("):
            return Part("command", quoted=quoted, script=self.nested())
        if self.took("${"):
            return replace(self._braced(), quoted=quoted)
        self.at += 1
        match = _VARIABLE.match(self.text, self.at)
        if match is None:
            return Part("text", "$", quoted)
        self.at = match.end()
        return Part("var", match[0], quoted)

    def here_document(self, mark: Word, *, tabs: bool) -> Word:
        """Cut the text out that stands after this line, up to the line `mark`."""
        end = "".join(part.text for part in mark)
        start = at = self.text.find("\n", self.at) + 1 or len(self.text)
        lines: list[str] = []
        while at < len(self.text):
            stop = self.text.find("\n", at) + 1 or len(self.text)
            line, at = self.text[at:stop], stop
            if (line.lstrip("\t") if tabs else line).rstrip("\n") == end:
                break
            lines.append(line)
        self.text = self.text[:start] + self.text[at:]
        text = "".join(lines)
        if any(part.quoted for part in mark):
            return (Part("text", text, quoted=True),)
        return type(self)(text).quoted(end="")

    def _substitutes(self) -> bool:
        return self.text.startswith(("<(", ">("), self.at)

    def _backticked(self) -> str:
        text: list[str] = []
        while (char := self.next()) != "`":
            if not char:
                raise Unparsable("` is not closed")
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("`", "$", "\\"):
                self.at += 1
            text.append(self.next())
            self.at += 1
        self.at += 1
        return "".join(text)

    def _ansi(self) -> str:
        """The text of `$'…'`; what is no escape of bash's is left as it is."""
        start = self.at
        while self.next() != "'":
            if not self.next():
                raise Unparsable("' is not closed")
            self.at += 2 if self.next() == "\\" else 1
        self.at += 1
        return _ESCAPE.sub(_unescaped, self.text[start : self.at - 1])

    def _arithmetic(self) -> bool:
        """Take `$(( … ))`; False, and nothing taken, where it is a command in a subshell."""
        depth = 0
        for at in range(self.at + 1, len(self.text)):
            depth += (self.text[at] == "(") - (self.text[at] == ")")
            if depth == 0:
                closed = self.text[at - 1] == ")"
                self.at = at + 1 if closed else self.at
                return closed
        return False

    def _braced(self) -> Part:
        match = _BRACED.match(self.text, self.at)
        if match is None:  # `${#x}`, `${!x}`: a number, or a variable that another one names
            self._to_brace()
            return Part("unknown")
        self.at = match.end()
        default = self._default() if match[3] else ()
        if self.took("}"):
            return Part("var", match[1], default=default)
        self._to_brace()
        return Part("unknown")

    def _default(self) -> Word:
        parts = self.quoted(end="}")
        return parts or (Part("text", quoted=True),)

    def _to_brace(self) -> None:
        self.quoted(end="}")
        self.at += 1


def _unescaped(escape: re.Match[str]) -> str:
    said = escape[1]
    if said[0] in "01234567":
        return chr(int(said, 8) & 0xFF)
    if said[0] in "xuU" and len(said) > 1:
        code = int(said[1:], 16)
        return chr(code) if code < 0xD800 or 0xE000 <= code < 0x110000 else "\ufffd"
    if said[0] == "c" and len(said) > 1:
        return chr(ord(said[1]) & 0x1F)
    return _ESCAPED.get(said, escape[0])
