"""The boxes of `tests.actors`."""

from tests.actors import box, quick_box

__all__ = ["box", "quick_box"]
