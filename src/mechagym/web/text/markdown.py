"""Markdown as markup: paragraphs, lists, tables, code and links to http(s), and nothing else.

A parser finds the structure; what is written of it is decided here, from a list. Raw HTML is text,
a picture is its description, and a link that leads anywhere else is its text.
"""

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from markupsafe import Markup

from mechagym.web.text.marks import marked
from mechagym.web.text.syntax import highlighted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_CHARACTERS = 256 * 1024
TAGS = frozenset(
    {
        *("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "em"),
        *("strong", "s", "table", "thead", "tbody", "tr", "th", "td", "hr", "br"),
    }
)
_A = Markup('<a href="{}" rel="noopener noreferrer nofollow" target="_blank">')


def rendered(text: str) -> Markup:
    """A text as markup; one that is very long as it stands."""
    if len(text) > MAX_CHARACTERS:
        return Markup("<pre>{}</pre>").format(marked(text))
    return _all(_parser().parse(text))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False})
    return parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])


def _all(tokens: "Sequence[Token]") -> Markup:
    found: list[Markup] = []
    open_links: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            url = _safe(str(token.attrGet("href") or ""))
            open_links.append(bool(url))
            found.append(_A.format(url) if url else Markup())
        elif token.type == "link_close":
            found.append(Markup("</a>") if open_links.pop() else Markup())
        else:
            found.append(_one(token))
    return Markup().join(found)


def _one(token: "Token") -> Markup:
    match token.type:
        case "inline":
            return _all(token.children or ())
        case "text" | "text_special" | "html_inline" | "html_block":
            return marked(token.content)
        case "softbreak":
            return Markup("\n")
        case "hardbreak":
            return Markup("<br>\n")
        case "code_inline":
            return Markup("<code>{}</code>").format(marked(token.content))
        case "fence" | "code_block":
            code = highlighted(token.content, token.info.partition(" ")[0])
            return Markup("<pre><code>{}</code></pre>\n").format(code)
        case "image":
            return Markup("[{}]").format(_all(token.children or ()))
        case _:
            return _tag(token)


def _tag(token: "Token") -> Markup:
    """A tag of the list; hidden ones (the paragraphs of tight lists) leave no trace."""
    if token.hidden or token.tag not in TAGS:
        return marked(token.content)
    slash = "/" if token.nesting == -1 else ""
    return Markup("<{}{}>").format(slash, token.tag)


def _safe(url: str) -> str:
    """The address, where it is one of http(s) with a host; else nothing."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return ""
    return url if good and not any(ord(c) < 0x21 or ord(c) == 0x7F for c in url) else ""
