"""Source code as markup: a class for each kind of token, from a short list of ours."""

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from mechagym.web.text.marks import marked

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MAX_CHARACTERS = 64 * 1024
MAX_LINE = 2_000
LANGUAGES = frozenset(
    {
        *("bash", "c", "cpp", "css", "diff", "dockerfile", "go", "html", "ini", "java"),
        *("javascript", "json", "makefile", "python", "rust", "sql", "toml", "typescript"),
        *("xml", "yaml"),
    }
)
CLASSES = {
    "Comment": "comment",
    "Keyword": "keyword",
    "Name.Function": "name",
    "Name.Class": "name",
    "Name.Tag": "name",
    "Name.Builtin": "builtin",
    "Name.Attribute": "builtin",
    "Literal.Number": "number",
    "Literal.String": "string",
    "Operator.Word": "keyword",
}


def highlighted(text: str, language: str) -> Markup:
    """Code as markup; without colours where it is long, or of a language that is not known."""
    name = language.strip().lower()
    long = len(text) > MAX_CHARACTERS or any(len(line) > MAX_LINE for line in text.split("\n"))
    if name not in LANGUAGES or long:
        return marked(text)
    return Markup().join(
        _span(_class(str(kind).removeprefix("Token.")), value)
        for _, kind, value in _lexer(name).get_tokens_unprocessed(text)  # as it is, to the letter
    )


@cache
def _lexer(name: str) -> "Lexer":
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name)


@cache
def _class(kind: str) -> str:
    while kind:
        if kind in CLASSES:
            return CLASSES[kind]
        kind = kind.rpartition(".")[0]
    return ""


def _span(name: str, value: str) -> Markup:
    if not name:
        return marked(value)
    return Markup('<span class="code-{}">{}</span>').format(name, marked(value))
