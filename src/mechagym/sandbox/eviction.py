"""Which images of a cache go: the least recently used first, and nothing that somebody uses."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

IMAGE_CACHE_BYTES = 50_000_000_000
"""What the images of a backend may take on disk where nothing else was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An image in a cache, last used at `used_at` (unix seconds).

    `parts`: what it is made of and how many bytes each has; images may share parts.
    """

    name: str
    used_at: float
    parts: Mapping[str, int]


Remove = Callable[[Held], Awaitable[bool]]
"""Remove an image unless somebody uses it; whether it is gone."""


async def trim(
    held: Iterable[Held], remove: Remove, *, keep_bytes: int | None, before: float
) -> list[tuple[Held, int]]:
    """Remove images last used before a time, until the others take at most `keep_bytes`.

    None: all of them. Returns each that is gone with the bytes that it gave back.
    """
    left = sorted(held, key=lambda image: image.used_at)
    users = Counter(part for image in left for part in image.parts)
    total = sum({part: size for image in left for part, size in image.parts.items()}.values())
    gone = []
    for image in left:
        if image.used_at > before or (keep_bytes is not None and total <= keep_bytes):
            break
        if await remove(image):
            users.subtract(image.parts.keys())
            freed = sum(size for part, size in image.parts.items() if not users[part])
            total -= freed
            gone.append((image, freed))
    return gone
