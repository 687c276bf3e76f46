"""The monitor's own small parser: shell text to the nodes of `nodes`.

It reads what people and models write in bash and sh. What it cannot read is `Unparsable`; it never
guesses.
"""

import re
from dataclasses import replace

from mechagym.agents.map.monitor.nodes import (
    Assign,
    For,
    Function,
    Group,
    Node,
    Part,
    Pipeline,
    Redirect,
    Script,
    Simple,
    Word,
)
from mechagym.agents.map.monitor.words import META, Cursor, Unparsable

_ASSIGN = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]\n]*\])?(\+?)=")
_REDIRECT = re.compile(r"(?:\d+|\{\w+\})?(<<<|<<-|<<|<>|<&|<(?!\()|>>|>\||>&|>(?!\()|&>>|&>)")
_FUNCTION = re.compile(
    r"(?:function[ \t]+([^\s(){};|&]+)(?:[ \t]*\([ \t]*\))?|"
    r"([^\s(){};|&<>'\"$`=]+)[ \t]*\([ \t]*\))\s*(?=[({\n])"
)
_KEYWORD = re.compile(
    r"(if|then|elif|else|fi|while|until|for|select|do|done|case|esac|in|time|coproc|[{}!])"
    r"(?=[\s;&|()]|$)"
)


def parse(text: str) -> Script:
    """The commands of a text. Raises Unparsable."""
    parser = _Parser(text)
    try:
        script = parser.script(())
    except RecursionError:
        raise Unparsable("nested too deep") from None
    if parser.at < len(parser.text):
        raise Unparsable(f"unexpected {parser.rest()}")
    return script


class _Parser(Cursor):
    def nested(self) -> Script:
        script = self.script(())
        self.expect(")")
        return script

    def parsed(self, text: str) -> Script:
        return parse(text)

    def keyword(self) -> str:
        match = _KEYWORD.match(self.text, self.at)
        return match[1] if match else ""

    def script(self, stops: tuple[str, ...]) -> Script:
        """Pipelines up to one of the words, a bracket, the end of a case, or of the text."""
        pipelines: list[Pipeline] = []
        maybe = False
        while True:
            self.blanks(lines=True)
            if self.next() in ("", ")") or self.ends_case() or self.keyword() in stops:
                return tuple(pipelines)
            commands = self.pipeline()
            joined = self.took("&&") or self.took("||")
            background = not joined and self.took("&")
            pipelines.append(Pipeline(commands, background=background, maybe=maybe))
            maybe = joined
            if not (joined or background or self.ends_command() or self.keyword() in stops):
                raise Unparsable(f"unexpected {self.rest()}")

    def ends_case(self) -> bool:
        return self.text.startswith((";;", ";&"), self.at)

    def ends_command(self) -> bool:
        """Whether the command is over here; a semicolon is taken."""
        if self.ends_case() or self.took(";"):
            return True
        return self.next() in ("", "\n", ")")

    def pipeline(self) -> tuple[Node, ...]:
        commands: list[Node] = []
        while True:
            self.blanks(lines=bool(commands))
            while self.keyword() in ("!", "time", "coproc"):
                self.at += len(self.keyword())
                self.blanks()
                self.option_of_time()
            commands.append(self.command())
            self.blanks()
            if self.text.startswith("||", self.at) or not self.took("|"):
                return tuple(commands)
            self.took("&")

    def option_of_time(self) -> None:
        if self.took("-p"):
            self.blanks()

    def command(self) -> Node:
        keyword = self.keyword()
        node: Group | For
        compound = {"if": self.if_, "while": self.loop, "until": self.loop, "for": self.for_}
        compound |= {"select": self.for_, "case": self.case, "{": self.braces}
        if keyword in compound:
            self.at += len(keyword)
            node = compound[keyword]()
        elif self.text.startswith("((", self.at):
            node = self.doubled()
        elif self.took("("):
            node = Group(self.nested(), subshell=True)
        elif re.match(r"\[\[\s", self.text[self.at : self.at + 3]):
            self.at += 2
            node = self.condition()
        elif match := _FUNCTION.match(self.text, self.at):
            self.at = match.end()
            return Function(match[1] or match[2], (Pipeline((self.command(),)),))
        elif keyword:
            raise Unparsable(f"unexpected {keyword}")
        else:
            return self.simple()
        return replace(node, redirects=self.redirects())

    def doubled(self) -> Group:
        """`(( … ))`: a sum; else a subshell within a subshell."""
        start = self.at
        self.at += 1
        try:
            body = self.nested()
        except Unparsable:
            self.at = start
            self.until("))")
            return Group(())
        return Group(body, subshell=True)

    def braces(self) -> Group:
        body = self.script(("}",))
        self.expect("}")
        return Group(body)

    def if_(self) -> Group:
        body = self.script(("then",))
        self.expect("then")
        while True:
            body += self.script(("elif", "else", "fi"))
            if self.took("fi"):
                return Group(body, maybe=True)
            if self.took("elif"):
                body += self.script(("then",))
                self.expect("then")
            else:
                self.expect("else")

    def loop(self) -> Group:
        return Group(self.script(("do",)) + self.do(), maybe=True)

    def do(self) -> Script:
        self.expect("do")
        body = self.script(("done",))
        self.expect("done")
        return body

    def for_(self) -> Group | For:
        self.blanks()
        if self.took("(("):
            self.until("))")
            self.blanks()
            self.took(";")
            return Group(self.do(), maybe=True)
        name = self.name()
        self.blanks(lines=True)
        words: list[Word] = []
        if self.keyword() == "in" and self.took("in"):
            self.blanks()
            while self.text[self.at : self.at + 1] not in ("", ";", "\n"):
                words.append(self.word())
                self.blanks()
        self.took(";")
        return For(name, tuple(words), self.do())

    def case(self) -> Group:
        self.blanks()
        self.word()
        self.expect("in")
        body: Script = ()
        self.blanks(lines=True)
        while self.keyword() != "esac":
            self.took("(")
            self.blanks()
            self.word()
            self.blanks()
            while self.took("|"):
                self.blanks()
                self.word()
                self.blanks()
            self.expect(")")
            body += self.script(("esac",))
            if self.took(";;"):
                self.took("&")
            self.took(";&")
            self.blanks(lines=True)
        self.took("esac")
        return Group(body, maybe=True)

    def condition(self) -> Group:
        """`[[ … ]]`: its words are read for what they run."""
        words: list[Word] = [(Part("text", "[["),)]
        self.blanks(lines=True)
        while not self.took("]]"):
            if not self.next():
                raise Unparsable("[[ is not closed")
            if self.next() in META and not self.text.startswith(("<(", ">("), self.at):
                self.at += 1
            else:
                words.append(self.word())
            self.blanks(lines=True)
        return Group((Pipeline((Simple((), tuple(words), ()),)),))

    def starts_word(self) -> bool:
        return self.next() not in ("", *META) or self.text.startswith(("<(", ">("), self.at)

    def simple(self) -> Simple:
        assigns: list[Assign] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self.blanks()
            if redirect := self.redirect():
                redirects.append(redirect)
            elif not self.starts_word():
                break
            elif not words and (match := _ASSIGN.match(self.text, self.at)):
                self.at = match.end()
                assigns.append(Assign(match[1], self.assigned(), appends=bool(match[2])))
            else:
                words.append(self.word())
        if not (assigns or words or redirects):
            raise Unparsable(f"a command expected at {self.rest()}")
        return Simple(tuple(assigns), tuple(words), tuple(redirects))

    def assigned(self) -> tuple[Word, ...]:
        if self.took("("):
            values: list[Word] = []
            self.blanks(lines=True)
            while not self.took(")"):
                values.append(self.word())
                self.blanks(lines=True)
            return tuple(values)
        return (self.word(),) if self.starts_word() else ((),)

    def redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        self.blanks()
        while redirect := self.redirect():
            found.append(redirect)
            self.blanks()
        return tuple(found)

    def redirect(self) -> Redirect | None:
        match = _REDIRECT.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        self.blanks()
        word = self.word()
        if match[1] in ("<<", "<<-"):
            return Redirect("<<", self.here_document(word, tabs=match[1] == "<<-"))
        return Redirect(match[1], word)
