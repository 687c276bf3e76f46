"""What all boxes of one sandbox are made with, chosen by trying: a keeper, a runtime that works, an
init.

Each refusal has a reason a person understands and the one command that mends it.
"""

from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from mechagym.errors import SandboxUnusable
from mechagym.records import new_id
from mechagym.sandbox.base import Labels
from mechagym.sandbox.local import bundle, cgroups, disks, keeping, runtime
from mechagym.sandbox.local.disks import Disks
from mechagym.sandbox.local.folder import Folder
from mechagym.sandbox.local.keeping import Keeper, StepError
from mechagym.sandbox.owner import owner_labels

INSIDE = (Path("/.dockerenv"), Path("/run/.containerenv"))
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """`runtime`, `init`, `slirp`: programs of the host; `groups`: see `cgroups`; `notes`: who was
    tried.
    """

    keeper: Keeper
    runtime: str
    init: str
    slirp: str | None
    groups: cgroups.Parents
    disks: Disks | None
    notes: tuple[str, ...] = ()

    @property
    def limits(self) -> frozenset[str]:
        """The limits that hold here; others are declared."""
        held = {limit for name, limit in cgroups.LIMIT_OF.items() if name in self.groups}
        return frozenset(held | ({"storage_mb"} if self.disks else set()))


async def found(folder: Path, wanted: str | None) -> Plant:
    """Start a keeper and try the runtimes on it. Raises SandboxUnusable."""
    programs = runtime.runtimes(wanted)
    if not programs:
        raise SandboxUnusable(
            f"no OCI runtime: {wanted or ' or '.join(runtime.RUNTIMES)} is not installed",
            remedy="apt-get install runc",
            reason="no_runtime",
        )
    init = runtime.static_init()
    if init is None:
        raise SandboxUnusable(
            "no static init (tini) to be the first process of a box",
            remedy="apt-get install tini",
            reason="no_init",
        )
    keeper = await _keeper(folder)
    try:
        program, notes = await _working(keeper, programs, init)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await keeper.close()
        raise
    slirp, said = runtime.way_out()
    made, told = await anyio.to_thread.run_sync(disks.found, folder, keeper.owner)
    return Plant(
        keeper=keeper,
        runtime=program,
        init=init,
        slirp=slirp,
        groups=cgroups.parents(),
        disks=made,
        notes=(f"way out: {said}", f"storage limits: {told}", *notes),
    )


async def _keeper(folder: Path) -> Keeper:
    try:
        return await anyio.to_thread.run_sync(keeping.start, folder)
    except SandboxUnusable as error:
        if error.reason != "no_user_namespaces":
            raise
        raise SandboxUnusable(
            error.message + _inside(), remedy=_switch(), reason=error.reason
        ) from error
    except OSError as error:
        raise SandboxUnusable(
            f"{folder}: {error.strerror}", remedy="name a folder that you may write to"
        ) from error


async def _working(keeper: Keeper, programs: list[str], init: str) -> tuple[str, tuple[str, ...]]:
    failures: list[str] = []
    for program in programs:
        try:
            await attempt(keeper, program, init)
        except StepError as error:
            failures.append(f"{program}: {error.message}")
        else:
            return program, tuple(failures)
    said = "; ".join(failures)
    raise SandboxUnusable(
        f"no OCI runtime works here: {said}{_inside()}", reason="no_working_runtime"
    )


async def attempt(keeper: Keeper, program: str, init: str) -> None:
    """Run `tini --version` in a box without an image. Raises StepError with the runtime's words."""
    box_id = f"try{new_id()}"
    first = bundle.Bundle(
        hostname="try",
        argv=(bundle.INIT, "--version"),
        binds=(bundle.Bind(source=init, target=bundle.INIT),),
    )
    await Folder(box_id, keeper).make(owner_labels(Labels()), bundle.config(first))
    try:
        with anyio.CancelScope(shield=True):  # what still runs cannot be removed
            await keeper.ask("attempt", box=box_id, runtime=program)
    finally:
        with anyio.CancelScope(shield=True):
            await keeper.ask("remove", boxes=[box_id])


def _switch() -> str | None:
    for name, off, remedy in _SWITCHES:
        path = Path("/proc/sys", name)
        if path.exists() and path.read_text(encoding="utf-8").strip() == off:
            return f"as root: {remedy}"
    return None


def _inside() -> str:
    if any(path.exists() for path in INSIDE):
        return (
            " (this process seems to be inside a container, where mounts are forbidden by default)"
        )
    return ""
