"""A secret shows where it is from and its last letters, whatever shows it."""

import copy
import io
import json
import logging
import pickle
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

import mechagym
from mechagym.llm.credentials import Credential
from mechagym.llm.secret import Secret
from mechagym.records import to_json

KEY = "sk-ant-api03-verysecretindeed-a1b2"
SHOWN = "anthropic:env:…a1b2"


def in_traceback(secret: Secret) -> str:
    try:
        raise ValueError(f"no luck with {secret}", secret)
    except ValueError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )


def in_rich_traceback(secret: Secret) -> str:
    screen = io.StringIO()
    held = {"key": secret}
    try:
        raise ValueError(held)
    except ValueError:
        Console(file=screen, width=200).print_exception(show_locals=True)
    return screen.getvalue()


def in_log(secret: Secret) -> str:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "key %s %r", (secret, secret), None)
    return record.getMessage()


@pytest.mark.must("llm-10")
@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        "{}".format,
        "{:>60}".format,
        "{!r}".format,
        lambda s: repr([s]),
        lambda s: json.dumps({"key": s}, default=str, ensure_ascii=False),
        lambda s: to_json(Credential(secret=s, source="env")),
        lambda s: repr(Credential(secret=s, source="env")),
        lambda s: repr(asdict(Credential(secret=s, source="env"))),
        lambda s: repr(pickle.loads(pickle.dumps(s))),
        lambda s: repr(copy.copy(s)) + repr(copy.deepcopy(s)),
        in_traceback,
        in_rich_traceback,
        in_log,
    ],
)
def test_a_secret_never_prints(show):
    text = show(Secret(KEY, "anthropic:env"))
    assert SHOWN in text
    assert "verysecret" not in text


@pytest.mark.must("llm-10")
def test_its_pickle_holds_no_secret():
    assert KEY.encode() not in pickle.dumps(Secret(KEY, "anthropic:env"))


def test_json_takes_no_secret_by_accident():
    with pytest.raises(TypeError):
        json.dumps(Secret(KEY, "anthropic:env"))


@pytest.mark.parametrize("value", ["", "abcd", "shortsecret"])
def test_of_a_short_secret_nothing_is_shown(value: str):
    assert str(Secret(value, "vllm:env")) == "vllm:env:…"


def test_it_is_its_value():
    secret = Secret(KEY, "anthropic:env")
    assert secret.reveal() == KEY
    assert secret == Secret(KEY, "elsewhere")
    assert secret != Secret(KEY + "x", "anthropic:env")
    assert secret != KEY
    assert len({secret, Secret(KEY, "elsewhere")}) == 1
    held = Credential(secret=secret, source="env")
    assert replace(held, source="x").secret is secret
    assert copy.deepcopy(held).secret.reveal() == KEY


def test_it_is_revealed_by_the_credentials_and_the_doors_alone():
    source = Path(mechagym.__file__).parent
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if ".reveal()" in path.read_text(encoding="utf-8")
    }
    mounted = (
        "llm/claude_login.py"  # writes the file that a box is given, where somebody asks for that
    )
    assert {"llm/credentials.py", mounted} <= found
    found -= {"llm/credentials.py", mounted}
    assert all(name.startswith("llm/gateway/") for name in found)
