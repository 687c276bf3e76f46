"""A sandbox without a machine: files in dicts, a mini shell, processes as tasks."""

from mechagym.testing.memory.box import MemoryBox, MemorySandbox

__all__ = ["MemoryBox", "MemorySandbox"]
