"""A reward is what the tests wrote, or an error that says why there is none; never a silent 0."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechagym.errors import VerifierError
from mechagym.verify.rewards import MAX_BYTES, TRANSCRIPT, read_rewards, tail_of


def reason(folder: Path) -> str:
    with pytest.raises(VerifierError) as caught:
        read_rewards(folder)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "reward"),
    [("1", 1.0), ("0\n", 0.0), (" 0.25\r\n", 0.25), ("\ufeff1", 1.0), ("1e0", 1.0), ("-1", -1.0)],
)
def test_one_number(tmp_path: Path, text: str, reward: float):
    (tmp_path / "reward.txt").write_text(text, encoding="utf-8")
    assert read_rewards(tmp_path) == {"reward": reward}


def test_an_object_wins_over_a_number(tmp_path: Path):
    (tmp_path / "reward.txt").write_text("0")
    (tmp_path / "reward.json").write_text('{"reward": 1, "style": 0.5}')
    assert read_rewards(tmp_path) == {"reward": 1.0, "style": 0.5}


@pytest.mark.must("trials-6")
def test_garbage_in_the_object_is_not_saved_by_the_number(tmp_path: Path):
    (tmp_path / "reward.txt").write_text("1")
    (tmp_path / "reward.json").write_text("{")
    assert reason(tmp_path) == "reward_unparsable"


@pytest.mark.must("trials-6")
@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("other.txt", "1", "reward_missing"),
        ("reward.txt", "", "reward_empty"),
        ("reward.txt", " \n", "reward_empty"),
        ("reward.json", "", "reward_empty"),
        ("reward.json", "{}", "reward_empty"),
        ("reward.txt", "passed", "reward_unparsable"),
        ("reward.txt", "1 1", "reward_unparsable"),
        ("reward.txt", "1\n0\n", "reward_unparsable"),
        ("reward.txt", "\x00", "reward_unparsable"),
        ("reward.txt", "1" * (MAX_BYTES + 1), "reward_unparsable"),
        ("reward.json", "1", "reward_unparsable"),
        ("reward.json", "[1]", "reward_unparsable"),
        ("reward.json", '{"reward": true}', "reward_unparsable"),
        ("reward.json", '{"reward": null}', "reward_unparsable"),
        ("reward.json", '{"reward": "1"}', "reward_unparsable"),
        ("reward.json", '{"reward": {"a": 1}}', "reward_unparsable"),
        ("reward.json", "[" * 30_000, "reward_unparsable"),
        ("reward.txt", "nan", "reward_not_finite"),
        ("reward.txt", "-inf", "reward_not_finite"),
        ("reward.json", '{"reward": 1, "b": NaN}', "reward_not_finite"),
        ("reward.json", '{"reward": Infinity}', "reward_not_finite"),
        ("reward.json", '{"reward": 1e999}', "reward_not_finite"),
        ("reward.json", '{"reward": 1%s}' % ("0" * 400), "reward_not_finite"),
    ],
)
def test_no_reward_has_a_reason(tmp_path: Path, name: str, text: str, wanted: str):
    (tmp_path / name).write_text(text)
    assert reason(tmp_path) == wanted


@pytest.mark.must("trials-6")
def test_bytes_that_are_no_text(tmp_path: Path):
    (tmp_path / "reward.txt").write_bytes(b"\xff1")
    assert reason(tmp_path) == "reward_unparsable"


def test_a_reward_that_is_no_plain_file_is_not_followed(tmp_path: Path):
    (tmp_path / "planted").write_text("1")
    (tmp_path / "reward.txt").symlink_to(tmp_path / "planted")
    assert reason(tmp_path) == "reward_unparsable"
    (tmp_path / "reward.json").mkdir()
    assert reason(tmp_path) == "reward_unparsable"


@pytest.mark.must("trials-6")
def test_the_end_of_the_test_output_is_in_the_message(tmp_path: Path):
    lines = "\n".join(f"line {number}" for number in range(1000))
    (tmp_path / TRANSCRIPT).write_text(lines + "\nE: no network\n")
    with pytest.raises(VerifierError, match="E: no network") as caught:
        read_rewards(tmp_path)
    assert "line 999" in caught.value.message
    assert "line 900" not in caught.value.message


def test_without_output_there_is_no_tail(tmp_path: Path):
    assert tail_of(tmp_path / TRANSCRIPT) == ""
    (tmp_path / TRANSCRIPT).write_text("")
    assert tail_of(tmp_path / TRANSCRIPT) == ""


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    folder = tmp_path_factory.mktemp("reward")
    for name in ("reward.txt", "reward.json"):
        (folder / name).write_bytes(data)
        try:
            rewards = read_rewards(folder)
        except VerifierError:
            continue
        assert json.loads(json.dumps(rewards, allow_nan=False)) == rewards
        assert rewards
