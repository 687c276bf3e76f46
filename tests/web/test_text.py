"""Hostile text, shown: nothing of it becomes markup of its own, and nothing of it is lost."""

import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from mechagym.testing.hostile import TEXTS
from mechagym.web.text.ansi import coloured
from mechagym.web.text.diff import diffed
from mechagym.web.text.markdown import MAX_CHARACTERS, TAGS, rendered
from mechagym.web.text.marks import marked, plain
from mechagym.web.text.syntax import LANGUAGES, highlighted

CLASS = re.compile(r"mark|ansi-[a-z-]+|code-[a-z]+|line|added|removed|place|head|same")
SHOWN: dict[str, Callable[[str], Markup]] = {
    "marked": marked,
    "coloured": coloured,
    "diffed": diffed,
    "rendered": rendered,
    "python": lambda text: highlighted(text, "python"),
    "html": lambda text: highlighted(text, "html"),
    "unknown": lambda text: highlighted(text, text[:50]),
}
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
PIECES = st.one_of(
    st.text(st.characters(), max_size=20),
    st.sampled_from([text for text in TEXTS if len(text) < 200]),
    st.sampled_from(
        ["<", ">", "&", '"', "'", "\x1b[", "\x1b]", "m", "](", "```", "\n", "\x07", "|"]
    ),
)
MIXED = st.lists(PIECES, max_size=12).map("".join)


class Reader(HTMLParser):
    """What a browser would make of it: every tag is one of ours, and all text is kept."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        allowed = TAGS | {"span", "code", "pre", "a"}
        assert tag in allowed, tag
        for name, value in attrs:
            if tag == "a":
                assert name in ("href", "rel", "target")
                if name == "href":
                    assert re.match(r"https?://[^/]", value or ""), value
            else:
                assert tag == "span", (tag, name)
                assert name in ("class", "title"), name
                if name == "class":
                    assert all(CLASS.fullmatch(each) for each in (value or "").split()), value
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data[:80]}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl[:80]}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data[:80]}")


def read(markup: Markup) -> str:
    """The text that one would see. Fails where the markup has anything that is not ours."""
    assert isinstance(markup, Markup)
    assert not UNSEEN.search(str(markup).replace("\n", ""))
    reader = Reader()
    reader.feed(str(markup))
    reader.close()
    assert not reader.open
    return "".join(reader.text)


def test_the_corpus_is_what_it_says():
    assert len(TEXTS) == len(set(TEXTS)) >= 150


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN.keys())
def test_no_text_of_the_corpus_becomes_markup(show: Callable[[str], Markup]):
    for text in TEXTS:
        read(show(text))


@settings(max_examples=40)
@given(MIXED)
def test_no_mixture_becomes_markup(text: str):
    for show in SHOWN.values():
        read(show(text))


@settings(max_examples=40)
@given(MIXED)
def test_nothing_is_lost(text: str):
    """All is there, with what cannot be seen as a mark; the terminal's sequences alone go."""
    assert read(marked(text)) == plain(text)
    assert read(diffed(text)) == plain(text)
    for language in ("python", "bash", "json", "html", "diff"):
        assert read(highlighted(text, language)) == plain(text)
    bare = re.sub("[\x1b\x90\x98\x9b\x9d-\x9f]", "", text)
    assert read(coloured(bare)) == plain(bare.replace("\r\n", "\n"))


def test_marks_have_names():
    assert 'title="U+202E RIGHT-TO-LEFT OVERRIDE"' in marked("a\u202eb")
    assert read(marked("a\x00b\x1bc\x7f")) == "a␀b␛c␡"
    assert read(marked("caf\udce9")) == "caf[U+DCE9]"
    assert marked(None) == marked("") == ""
    assert plain("<a>\u202e") == "<a>[U+202E]"
    assert marked("naïve 文字 🙂\t\n") == "naïve 文字 🙂\t\n"


def test_colours_of_a_terminal():
    assert coloured("\x1b[31mred\x1b[0m plain") == '<span class="ansi-red">red</span> plain'
    assert coloured("\x1b[1;92mx") == '<span class="ansi-bold ansi-green">x</span>'
    assert coloured("\x1b[38;5;1mx\x1b[39my") == '<span class="ansi-red">x</span>y'
    assert coloured("\x1b[38;5;196mx") == "x", "only the first sixteen"
    assert coloured("\x1b[38;2;1;2;3;1mx") == '<span class="ansi-bold">x</span>'
    assert coloured("\x1b[44;4mx") == '<span class="ansi-underline ansi-on-blue">x</span>'
    assert coloured("\x1b[1m\x1b[22mx") == "x"
    assert coloured("\x1b]0;title\x07\x1b[2Jx\x1b]8;;http://e/\x1b\\y") == "xy"
    assert read(coloured("\x1b[31")) == "␛[31", "what is no sequence is shown"
    assert coloured("a\r\nb") == "a\nb"


def test_markdown_knows_what_it_should():
    page = rendered("# T\n\n*a* **b** `c` ~~d~~\n\n- x\n- y\n\n| h |\n|---|\n| v |\n\n> q")
    for part in ("<h1>T</h1>", "<em>a</em>", "<strong>b</strong>", "<code>c</code>", "<s>d</s>"):
        assert part in page
    for part in ("<li>x</li>", "<td>v</td>", "<blockquote>"):
        assert part in page
    link = rendered("[x](https://good.example/?a=1&b=2)")
    assert 'href="https://good.example/?a=1&amp;b=2"' in link
    assert 'rel="noopener noreferrer nofollow"' in link
    assert "<a" not in rendered("[x](javascript:alert(1))")
    assert "<img" not in rendered("![a *b*](http://evil.example/x.png)")
    assert 'class="code-keyword"' in rendered("```python\nreturn 1\n```")
    assert unescape(rendered("<b>x</b>")) == "<p><b>x</b></p>"
    assert rendered("x" * (MAX_CHARACTERS + 1)).startswith("<pre>")


def test_a_diff_has_a_class_for_each_line():
    page = diffed("--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n same")
    classes = re.findall(r'class="line (\w+)"', page)
    assert classes == ["head", "head", "place", "removed", "added", "same"]


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_each_language_is_known(language: str):
    assert read(highlighted("x = 'y' # z\n", language)) == "x = 'y' # z\n"
