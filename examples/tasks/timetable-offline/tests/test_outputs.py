"""Any plan is right that keeps the rules; they are checked one by one, on our copy of the data."""

import json
from itertools import combinations
from pathlib import Path

CONFERENCE = json.loads(Path("/tests/conference.json").read_text(encoding="utf-8"))
TALKS = {talk["id"]: talk for talk in CONFERENCE["talks"]}
ROOMS = {room["id"]: room for room in CONFERENCE["rooms"]}
DAYS = [slot["day"] for slot in CONFERENCE["slots"]]
NUMBERS = {slot["id"]: number for number, slot in enumerate(CONFERENCE["slots"])}


def placed():
    """{talk: (number of its slot, its room)}."""
    plan = json.loads(Path("/app/plan.json").read_text(encoding="utf-8"))
    return {name: (NUMBERS[place["slot"]], ROOMS[place["room"]]) for name, place in plan.items()}


def pairs(plan):
    """Each two talks with the numbers of their slots."""
    for (one, (a, _)), (other, (b, _)) in combinations(plan.items(), 2):
        yield TALKS[one], a, TALKS[other], b


def test_every_talk_takes_place_once():
    assert set(placed()) == set(TALKS)


def test_no_two_talks_share_a_place():
    places = [(number, room["id"]) for number, room in placed().values()]
    assert len(places) == len(set(places)) == len(TALKS)


def test_rooms_are_big_enough_and_equipped():
    plan = placed()
    assert plan
    for name, (_, room) in plan.items():
        assert TALKS[name]["guests"] <= room["seats"], name
        assert TALKS[name].get("needs") in {None, *room["has"]}, name


def test_speakers_have_breaks():
    plan = placed()
    assert plan
    for one, a, other, b in pairs(plan):
        if set(one["speakers"]) & set(other["speakers"]):
            assert a != b, (one["id"], other["id"])
            assert abs(a - b) > 1 or DAYS[a] != DAYS[b], (one["id"], other["id"])


def test_nobody_speaks_on_a_day_away():
    plan = placed()
    assert plan
    for name, (number, _) in plan.items():
        for speaker in TALKS[name]["speakers"]:
            assert DAYS[number] not in CONFERENCE["away"].get(speaker, []), (name, speaker)


def test_order_is_kept():
    plan = placed()
    assert plan
    for name, (number, _) in plan.items():
        for before in TALKS[name].get("after", []):
            assert plan[before][0] < number, (before, name)


def test_tracks_do_not_overlap():
    plan = placed()
    assert plan
    for one, a, other, b in pairs(plan):
        assert a != b or one.get("track") is None or one.get("track") != other.get("track")
