"""Who a name is in a box, by the box's own `/etc/passwd` and `/etc/group` (hostile text, only
parsed).
"""

from collections.abc import Iterator

from mechagym.errors import SandboxError
from mechagym.sandbox.local.bundle import User

MAX_ID = 65_535


def resolve(wanted: str, passwd: str, group: str) -> User:
    """`name`, `uid`, `name:group` or `uid:gid`. Raises SandboxError for an unknown name."""
    name, _, group_name = wanted.partition(":")
    found = None
    for row in _rows(passwd, 7):
        if name in (row[0], row[2]):
            found = User(uid=_id(row[2]), gid=_id(row[3]), home=row[5] or "/")
            name = row[0]
            break
    if found is None:
        if not name.isdecimal():
            raise SandboxError(f"the box has no user {name!r}", reason="no_such_user", retry=False)
        found = User(uid=_id(name), gid=0, home="/")
    rows = list(_rows(group, 4))
    gid, groups = found.gid, tuple(_id(r[2]) for r in rows if name in r[3].split(","))
    if group_name:
        gid = next((_id(r[2]) for r in rows if group_name in (r[0], r[2])), -1)
        if gid < 0 and not group_name.isdecimal():
            raise SandboxError(f"the box has no group {group_name!r}", retry=False)
        gid, groups = (gid if gid >= 0 else _id(group_name)), ()
    return User(uid=found.uid, gid=gid, groups=groups, home=found.home)


def _rows(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        row = line.split(":")
        if len(row) == fields and row[2].isdecimal():
            yield row


def _id(text: str) -> int:
    value = int(text)
    if value > MAX_ID:
        raise SandboxError(f"id {value} is outside the 65,536 ids of a box", retry=False)
    return value
