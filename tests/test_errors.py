"""The tree drawn at the top of `errors.py` is the tree of the classes."""

import inspect
import re

import pytest

from mechagym import errors
from mechagym.errors import MechagymError

LINE = re.compile(
    r"^ {4}(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)"
    r" +(?P<blame>\w+) +(?P<retry>yes|no) +(?P<graded>yes|no|–)"
)
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, MechagymError)
}


def drawn() -> dict[str, tuple[str, str, bool, bool]]:
    """Name → parent, blame, retry, graded; `–` means that it says nothing about a trial."""
    found: dict[str, tuple[str, str, bool, bool]] = {}
    trail: list[tuple[int, str]] = [(-1, "MechagymError")]
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.match(line):
            depth = len(match["indent"])
            while trail[-1][0] >= depth:
                trail.pop()
            graded = match["graded"] == "yes"
            found[match["name"]] = (trail[-1][1], match["blame"], match["retry"] == "yes", graded)
            trail.append((depth, match["name"]))
    return found


def test_the_drawing_is_whole():
    assert set(drawn()) == set(CLASSES) - {"MechagymError"}


@pytest.mark.parametrize("name", sorted(drawn()))
def test_the_drawing_is_true(name: str):
    shape = CLASSES[name]
    assert drawn()[name] == (shape.__bases__[0].__name__, shape.blame, shape.retry, shape.graded)


@pytest.mark.parametrize("shape", CLASSES.values(), ids=CLASSES)
def test_an_error_is_for_a_person(shape: type[MechagymError]):
    plain = shape("it broke")
    assert (str(plain), plain.reason, plain.retry) == ("it broke", shape.__name__, shape.retry)
    told = shape("it broke", remedy="mend it", reason="broken", retry=not shape.retry)
    assert str(told) == "it broke\n  mend it"
    assert (told.reason, told.retry, shape.retry) == ("broken", not shape.retry, plain.retry)
    assert inspect.getdoc(shape)
