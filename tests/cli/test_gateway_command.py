"""`mechagym gateway` as a person runs it, with the real SDK behind it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, APIStatusError

from mechagym.testing.provider import Turn, provider_double
from tests.llm.roads import certificates

KEY = "sk-ant-a-planted-key-of-this-test-0123456789"
HI: Any = [{"role": "user", "content": "hi"}]


@contextmanager
def gateway(
    tmp_path, url: str, *argv: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The command with `--json`, and what it said first."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""}
    own = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url}
    env = {**os.environ, **home, **own, **(env or {})}
    command = [sys.executable, "-m", "mechagym", "gateway", "--json", *argv]
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline() or "{}")
        finally:
            process.kill()


def ask(told: Any, **more: Any) -> str:
    name = told["models"][0].partition(":")[2]
    with Anthropic(api_key=told["token"], base_url=told["url"], max_retries=0) as client:
        made = client.messages.create(**{"model": name, "max_tokens": 99, "messages": HI} | more)
    return str(made.content[0].text)


async def in_thread(work: Any, *args: Any) -> Any:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(work, *args)


async def test_it_serves_until_a_signal_and_says_what_was_spent(tmp_path):
    tape = tmp_path / "tape.jsonl"

    def talk(url: str) -> None:
        argv = ["-m", "anthropic:claude-haiku-4-5", "--usd", "2", "--record", str(tape)]
        with gateway(tmp_path, url, *argv) as (process, told):
            assert ask(told) == "hello"
            assert ask(told, model="claude-haiku-next") == "hello"
            assert told["environment"]["OPENAI_BASE_URL"] == f"{told['url']}/v1"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0
        assert json.loads(out) == {"calls": 2, "tokens": 30, "cost_usd": pytest.approx(7e-5)}
        assert err.count("anthropic:claude-haiku-4-5: <$0.001, 15 tokens") == 2
        assert KEY not in out + err + tape.read_text(encoding="utf-8")

    async with provider_double(Turn(text="hello")) as double:
        await in_thread(talk, double.url)
    assert [asked.key for asked in double.works] == [KEY, KEY]
    assert double.works[1].model == "claude-haiku-4-5"

    def replay() -> None:
        argv = ["-m", f"replay:{tape}"]
        with gateway(tmp_path, "http://127.0.0.1:9", *argv) as (process, told):
            assert ask(told, model="claude-haiku-4-5") == "hello"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert f"{tape}: 1 of 2 exchanges were not played" in err

    await in_thread(replay)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-m", "claude"], "without a limit"),
        (["-m", "nothing:x", "--usd", "1"], "no provider is called"),
        (["-m", "openai:gpt-4o", "--usd", "1"], "key"),
        (["-m", "claude", "--usd", "1", "--host", "0.0.0.0"], "all addresses"),
        (["-m", "claude", "--usd", "1", "--host", "192.0.2.1"], "cannot listen"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is(tmp_path, argv, says):
    with gateway(tmp_path, "http://127.0.0.1:9", *argv) as (process, told):
        _, err = process.communicate(timeout=30)
    assert told == {}
    assert process.returncode == 2
    assert says in err


async def test_a_limit_is_a_limit(tmp_path):
    def talk(url: str) -> None:
        argv = ["-m", "anthropic:claude-haiku-4-5", "--usd", "0.001"]
        with gateway(tmp_path, url, *argv) as (_, told):
            got = httpx2.post(
                f"{told['url']}/v1/messages",
                headers={"x-api-key": told["token"]},
                json={"model": "claude-haiku-4-5", "max_tokens": 9_000, "messages": HI},
            )
            assert got.status_code == 402

    async with provider_double(Turn(text="hello")) as double:
        await in_thread(talk, double.url)
    assert double.works == []


async def test_one_serves_by_tls_and_another_is_behind_it(tmp_path):
    certs = certificates(tmp_path, "localhost")

    def talk(url: str) -> None:
        what = ("-m", "anthropic:claude-haiku-4-5", "--usd")
        proof = ("--certificate", str(certs.server_file))
        with gateway(tmp_path, url, *what, "2", *proof) as (_, far):
            assert far["url"].startswith("https://127.0.0.1:")
            base = far["url"].replace("127.0.0.1", "localhost")
            trust = {"MECHAGYM_LLM__CA_FILE": str(certs.ca_file)}
            key = {"ANTHROPIC_API_KEY": far["token"]}
            with gateway(tmp_path, base, *what, "1", env={**trust, **key}) as (process, near):
                assert ask(near) == "hello"
                process.send_signal(signal.SIGINT)
                spent = json.loads(process.communicate(timeout=20)[0].splitlines()[-1])
                assert spent["calls"] == 1
            with (
                gateway(tmp_path, base, *what, "1", env=key) as (_, near),
                pytest.raises(APIStatusError, match="CERTIFICATE_VERIFY_FAILED"),
            ):
                ask(near)

    async with provider_double([Turn(text="hello")], key=KEY) as double:
        await in_thread(talk, double.url)
        assert len(double.works) == 1
