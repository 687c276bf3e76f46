"""The best state is put back as it was: contents, modes and links, and nothing beside them."""

from mechagym.agents.map.keepsake import KEPT_BYTES, Keepsake
from mechagym.agents.map.tools.footprint import Footprint
from mechagym.sandbox.base import Box

MADE = """
mkdir -p /app/sub && cd /app
printf one > a.txt; printf two > sub/b.sh; chmod 755 sub/b.sh; ln -s a.txt link; printf x > 'a b'
"""
SPOILED = """
cd /app
printf other > a.txt; rm -r sub; rm link; ln -s /etc link; printf new > c.txt; rm 'a b'
"""
TREE = "cd /app; find . -type f -o -type l | sort; stat -c '%a' a.txt sub/b.sh; readlink link"


async def shown(box: Box) -> str:
    texts = "cd /app; cat a.txt sub/b.sh 'a b'"
    tree = (await box.exec(["sh", "-c", TREE])).text
    return tree + (await box.exec(["sh", "-c", texts])).text


async def test_all_of_it_is_as_it_was(box: Box):
    await box.exec(["sh", "-c", MADE])
    footprint = Footprint(box, roots=("/app",), without="/tmp/none")
    await footprint.look()
    before = await shown(box)
    with Keepsake(box, ("/app", "/app/sub", "/")) as keepsake:
        assert await keepsake.keep(footprint.seen)
        await box.exec(["sh", "-c", SPOILED])
        assert await shown(box) != before
        await footprint.look()
        changed = await keepsake.put_back(footprint.seen)
    names = ("a b", "a.txt", "c.txt", "link", "sub/b.sh")
    assert changed == tuple(f"/app/{name}" for name in names)
    assert await shown(box) == before
    assert not (await box.exec(["test", "-e", "/app/c.txt"])).ok


async def test_too_much_is_not_kept(mini: Box):
    seen = {"/app/big": f"1|81a4|{KEPT_BYTES + 1}|now"}
    with Keepsake(mini, ("/app",)) as keepsake:
        assert not await keepsake.keep(seen)
        assert not keepsake.holds
        assert await keepsake.put_back({}) == ()
