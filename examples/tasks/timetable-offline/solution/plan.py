"""Plan the conference: depth-first search, always the talk with the fewest places left first."""

import json
import sys

sys.setrecursionlimit(10_000)
conference = json.load(open("/app/conference.json", encoding="utf-8"))
slots, rooms, away = conference["slots"], conference["rooms"], conference["away"]
talks = {talk["id"]: talk for talk in conference["talks"]}
SLOT_NUMBER = {slot["id"]: number for number, slot in enumerate(slots)}


def alone(talk):
    """The places that a talk could have if it were the only one."""
    for number, slot in enumerate(slots):
        if any(slot["day"] in away.get(name, ()) for name in talk["speakers"]):
            continue
        for room in rooms:
            fits = talk["guests"] <= room["seats"] and talk.get("needs") in {None, *room["has"]}
            if fits:
                yield (number, room["id"])


def clash(one, here, other, there):
    """Whether two placed talks break a rule together."""
    if here == there:
        return True
    a, b = here[0], there[0]
    if a == b and "track" in one and one["track"] == other.get("track"):
        return True
    near = a == b or (abs(a - b) == 1 and slots[a]["day"] == slots[b]["day"])
    if near and set(one["speakers"]) & set(other["speakers"]):
        return True
    return (other["id"] in one.get("after", ()) and a <= b) or (
        one["id"] in other.get("after", ()) and b <= a
    )


def search(open_talks, plan):
    """Place all open talks ({id: places}); None where it cannot be done."""
    if not open_talks:
        return plan
    chosen = min(open_talks, key=lambda name: (len(open_talks[name]), name))
    for place in open_talks[chosen]:
        rest = {
            name: [p for p in places if not clash(talks[chosen], place, talks[name], p)]
            for name, places in open_talks.items()
            if name != chosen
        }
        if all(rest.values()) and (found := search(rest, {**plan, chosen: place})):
            return found
    return None


found = search({name: list(alone(talk)) for name, talk in talks.items()}, {})
plan = {name: {"slot": slots[n]["id"], "room": room} for name, (n, room) in sorted(found.items())}
with open("/app/plan.json", "w", encoding="utf-8") as file:
    json.dump(plan, file, indent=1)
