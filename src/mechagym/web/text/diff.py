"""A unified diff as markup: a class for each line, by its first character."""

from markupsafe import Markup

from mechagym.web.text.marks import marked

CLASSES = {"+": "added", "-": "removed", "@": "place"}
HEADS = ("diff ", "index ", "--- ", "+++ ", "new file", "deleted file", "rename ", "Binary ")


def diffed(text: str) -> Markup:
    """All lines, none left out."""
    lines = [
        Markup('<span class="line {}">{}</span>').format(_class(line), marked(line))
        for line in text.split("\n")
    ]
    return Markup("\n").join(lines)


def _class(line: str) -> str:
    return "head" if line.startswith(HEADS) else CLASSES.get(line[:1], "same")
