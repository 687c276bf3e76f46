"""Boxes without an engine: an OCI runtime driven directly, copy-on-write by overlayfs.

All that touches mounts, namespaces or shifted files happens in one process per controller, the
keeper (`keeper`, spoken to through `keeping`); everything else here decides what it shall do.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechagym.sandbox.local.sandbox import LocalSandbox as LocalSandbox

__all__ = ["LocalSandbox"]


def __getattr__(name: str) -> Any:
    """Import the backend when it is asked for: the keeper needs none of it to start."""
    if name != "LocalSandbox":
        raise AttributeError(name)
    from mechagym.sandbox.local.sandbox import LocalSandbox

    return LocalSandbox
