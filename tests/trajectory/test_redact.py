"""A secret is found in no form it takes, and nothing else is touched."""

import base64
import json
import random
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import ConfigError
from mechagym.trajectory.redact import PART_CHARS, Redactor, can_hide, scan

SECRET = 'sk-ant-"x"/+ é\\end'
MARK = "[redacted:KEY]"
LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Zs"])
SECRETS = st.text(LETTERS, min_size=6, max_size=40).filter(can_hide)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").replace("%C3%A9", "%c3%a9").replace("%5C", "%5c"),
    ],
)
def test_every_form_is_replaced(form: str):
    redactor = Redactor({"KEY": SECRET})
    if form != quote(SECRET, safe="").replace("%C3%A9", "%c3%a9").replace("%5C", "%5c"):
        assert redactor.text(f"<{form}>") == f"<{MARK}>"
        assert redactor.data(f"<{form}>".encode()) == f"<{MARK}>".encode()
    assert SECRET not in redactor.text(form)


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_base64_in_every_alignment(secret: str, before: bytes, after: bytes):
    redactor = Redactor({"KEY": secret})
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + secret.encode() + after).decode()
        redacted = redactor.text(text)
        assert MARK in redacted
        longest = max(len(part) for part in redacted.split(MARK))
        assert longest <= len(encode(before + after)) + 4


@given(SECRETS, st.text(max_size=50), st.lists(st.integers(1, 9), max_size=30))
def test_across_the_borders_of_chunks(secret: str, text: str, sizes: list[int]):
    redactor = Redactor({"KEY": secret, "OTHER": secret + "longer"})
    data = f"{text}{secret}{text}{secret}longer{secret[:-1]}".encode("utf-8", "replace")
    stream, done, at = redactor.stream(), b"", 0
    for size in sizes:
        done += stream.feed(data[at : at + size])
        at += size
    done += stream.feed(data[at:]) + stream.finish()
    assert done == redactor.data(data) != data


@given(st.text())
def test_honest_text_is_left_alone(text: str):
    redactor = Redactor({"KEY": "7d83hG-secret-Kk2"})
    assert redactor.text(text) is text
    assert Redactor({}).text(text) is text


KEY = "sk-proj-Zq81/+vT=x&Ld93_kPw0"
FORMS = [KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()[:37]]


@pytest.mark.must("trials-16")
@pytest.mark.parametrize("form", FORMS)
def test_a_part_that_a_cut_has_left_is_hidden_too(form: str):
    redactor = Redactor({"KEY": KEY})
    for size in range(PART_CHARS, len(form)):
        for part in (form[:size], form[-size:]):
            for text in (part, f"tail: {part} […]", f"{form}{part}"):
                redacted = redactor.text(text)
                assert MARK in redacted
                assert part not in redacted
                assert len(redacted.replace(MARK, "").replace("tail:  […]", "")) < PART_CHARS
                assert redactor.data(text.encode()) == redacted.encode()


@given(st.integers(0, len(KEY)), st.integers(0, len(KEY)), st.lists(st.integers(1, 9)))
def test_parts_across_the_borders_of_chunks(first: int, last: int, sizes: list[int]):
    redactor = Redactor({"KEY": KEY, "OTHER": KEY[:15] + "another-end"})
    data = f"{KEY[first:]} and {KEY[:last]}{KEY[:20]}another-end{KEY[first:last]}".encode()
    stream, done, at = redactor.stream(), b"", 0
    for size in sizes:
        done += stream.feed(data[at : at + size])
        at += size
    assert done + stream.feed(data[at:]) + stream.finish() == redactor.data(data)


def test_each_line_of_a_secret_of_several():
    lines = ["-----BEGIN OPENSSH " + "PRIVATE KEY-----", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU", "QyNT"]
    redacted = Redactor({"KEY": "\n".join(lines)}).text(f"    {lines[1]}\n    {lines[2]}")
    assert redacted == f"    {MARK}\n    QyNT"


def test_values_stay_what_they_are():
    redactor = Redactor({"PIN": "123456"})
    value = {"a": 1234567, "123456": ["x123456y", 1.5, None, True], "t": ("123456",)}
    assert redactor.value(value) == {
        "a": 1234567,
        "[redacted:PIN]": ["x[redacted:PIN]y", 1.5, None, True],
        "t": ["[redacted:PIN]"],
    }


def test_the_longer_of_two_wins_and_names_are_made_plain():
    redactor = Redactor({"A": "secret-one", "B[]": "secret-one-and-more"})
    assert redactor.text("secret-one-and-more secret-one") == "[redacted:B__] [redacted:A]"


def test_surrounding_space_does_not_hide_a_secret():
    assert Redactor({"KEY": "from-a-file\n"}).text("<from-a-file>") == f"<{MARK}>"


def test_a_short_value_is_refused_by_name_alone():
    with pytest.raises(ConfigError, match="PIN") as failure:
        Redactor({"PIN": "hunt2"})
    assert "hunt2" not in str(failure.value)


@pytest.mark.parametrize("word", ["message", "outcome", "passed", "started"])
def test_a_word_of_our_own_records_is_no_secret(word: str):
    assert not can_hide(word)
    with pytest.raises(ConfigError, match="a word of our own records"):
        Redactor({"MODE": word})


def test_known_shapes_are_found():
    # put together here, so that no scanner takes this file for a leak
    word = "".join(random.Random(1).choices("abcdefghijkABCDEFGH23456789", k=40))
    keys = {
        "anthropic": f"sk-ant-api03-{word}",
        "openai": f"sk-proj-{word}",
        "aws": "AK" + "IA" + word[:16].upper(),
        "github": f"ghp_{word[:36]}",
        "google": f"AIza{word[:35]}",
        "huggingface": f"hf_{word[:34]}",
        "jwt": f"eyJ{word[:20]}.eyJ{word}.{word}",
        "private-key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    }
    for rule, key in keys.items():
        (found,) = scan(f"export X='{key}' # here")
        assert (found.rule, found.start) == (rule, 10)
        assert key not in found.sample
    assert len(scan(" ".join(keys.values()))) == len(keys)
    assert scan("task-sk-learn ask-anthropic risk-averse-but-long-enough-word") == []
