"""What a person may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The known word that is spelled most like this one, if any is near."""
    known = {candidate.casefold(): candidate for candidate in words}
    found = get_close_matches(word.casefold(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """`, did you mean X?` or nothing: to be put at the end of a message."""
    near = nearest(word, words)
    return f", did you mean `{near}`?" if near else ""
