"""One running machine: its folder, root mount, first process, groups, network and lanes, and their
end.

The folder holds all that is on disk: `owner.json`, `config.json`, the runtime's state, upper and
work. An upper is a live box's or the layer of others, never both: forks freeze the box first (see
`box`). A folder goes when nobody uses its upper any more.
"""

import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from mechagym.errors import BoxDied, SandboxError
from mechagym.records import new_id
from mechagym.sandbox.base import BoxSpec, NetworkPolicy
from mechagym.sandbox.lanes import LanePool, Machine
from mechagym.sandbox.local import bundle, cgroups, syscalls, users
from mechagym.sandbox.local.disks import Disk
from mechagym.sandbox.local.folder import Folder
from mechagym.sandbox.local.frozen import Hold
from mechagym.sandbox.local.keeping import StepError, failed
from mechagym.sandbox.local.network import Network, first_files
from mechagym.sandbox.local.pipes import Pipes
from mechagym.sandbox.local.plant import Plant
from mechagym.sandbox.local.rootfs import Rootfs
from mechagym.sandbox.owner import MARK, owner_labels

FIRST_SHELLS = "(exec sh <&3 >&4 2>&5 3<&- 4>&- 5>&- &) ; exec sh 3<&- 4>&- 5>&-"
"""What PID 1 starts: a shell whose end is the box's end, the first lane if the box's own user is
root; and beside it root's control lane.
"""

CONTROL_USER = "0"
CLOSE_S = 10.0
GROUPS = f"{MARK}.groups"
"""In `owner.json` besides the owner: what the reaper has to look for."""


@dataclass(slots=True, eq=False)
class Instance:
    """A machine. `below`: the folders whose uppers are its layers, topmost first; `flatten`: those
    that are merged into one layer of its own instead; `lineage`: of whom it is a fork; `hostname`
    is a fork's parent's.
    """

    plant: Plant
    spec: BoxSpec
    rootfs: Rootfs
    below: tuple[Folder, ...] = ()
    flatten: tuple[Folder, ...] = ()
    lineage: frozenset[str] = frozenset()
    hostname: str = ""
    box_id: str = field(default_factory=lambda: new_id().lower())
    pid: int = 0
    adopted: bool = False
    pool: LanePool | None = None
    network: Network | None = None
    groups: cgroups.Groups | None = None
    _ended: int = -1
    _folder: Folder | None = None
    _hold: Hold | None = None
    _main: Pipes | None = None
    _spare: Pipes | None = None
    _fault: Exception | None = None
    _life: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))
    _up: anyio.Event = field(default_factory=anyio.Event)
    _stop: anyio.Event = field(default_factory=anyio.Event)
    _gone: anyio.Event = field(default_factory=anyio.Event)

    # --- life

    async def run(self) -> None:
        """Start, serve until `stop`, end. Run it in a task group: lanes live in the task that
        opened them. A cancel of the group ends nothing here, so that whoever is cancelled still has
        a box while it tidies up; `stop` does.
        """
        services = anyio.create_task_group()
        with self._life:
            await services.__aenter__()
            try:
                if not self._stop.is_set():
                    await self._serve(await self._start(services))
            except Exception as error:  # noqa: BLE001 – raised by `started`, not in the group
                # once it is up: the box ends, and whoever uses it hears BoxDied
                self._fault = self._reason(error)
            finally:
                self._up.set()
                try:
                    await self._end()
                finally:  # it may be given up: see `stop`
                    services.cancel_scope.cancel()
                    await services.__aexit__(None, None, None)
                self._gone.set()

    async def started(self) -> None:
        """Wait until commands can run. Raises the reason why it does not start."""
        await self._up.wait()
        if self._fault is not None:
            raise self._fault

    async def stop(self) -> None:
        """End it, wait `CLOSE_S` at most until it is gone; what is left then is the reaper's."""
        self._kill()
        self._stop.set()
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._gone.wait()
        self._life.cancel()

    async def _serve(self, main: Pipes) -> None:
        if self._stop.is_set():
            return
        async with LanePool(self._machine(), main if self._is_root else None) as self.pool:
            self._up.set()
            await self._stop.wait()

    def _reason(self, error: Exception) -> Exception:
        if not isinstance(error, ExceptionGroup):
            return error
        said = SandboxError(f"box {self.box_id} does not start: {error.exceptions[0]}")
        said.__cause__ = error
        return said

    @property
    def hold(self) -> Hold:
        """What makes it stand still for forks."""
        assert self._hold is not None
        return self._hold

    @property
    def folder(self) -> Folder:
        """Its folder; kept while it is somebody's layer."""
        assert self._folder is not None
        return self._folder

    @property
    def layers(self) -> list[str]:
        """The layers under its own upper, topmost first."""
        return [*self.folder.below, *_layers(self.below), *self.rootfs.layers]

    def alive(self) -> bool:
        """Whether its first process lives."""
        if self._ended < 0 or self._stop.is_set():
            return False
        poll = select.poll()  # select(2) knows no descriptor above 1,023
        poll.register(self._ended, select.POLLIN)
        return not poll.poll(0)

    async def ended(self) -> None:
        """Wait until its first process has ended."""
        if self._ended >= 0:
            await anyio.wait_readable(self._ended)

    def check(self) -> None:
        """Raises BoxDied where it is gone."""
        if not self.alive():
            raise BoxDied(f"box {self.box_id} is gone")

    # --- start and end

    async def _start(self, services: TaskGroup) -> Pipes:
        self._folder = Folder(self.box_id, self.plant.keeper, flat=bool(self.flatten))
        for folder in (self._folder, *self.below):
            folder.users += 1
        try:
            await self._folder.make(self._labels(), self._config())
            self._folder.disk = await self._disk()
        except OSError as error:
            raise failed(f"box {self.box_id}", error, self.plant.keeper.folder) from error
        if self.plant.groups:
            self.groups = cgroups.create(self.box_id, self.spec.limits, self._parents)
        main, self._spare = self._main, self._spare = Pipes(), Pipes()
        given = [*main.theirs, *self._spare.theirs]
        shown = self._shown() if os.getuid() == 0 else []
        request = {**self._request(), "stdio": len(given), "detached": len(shown)}
        disk = self._folder.disk
        given += [disk.mount] if disk else []
        shown += self.groups.doors() if self.groups else []
        freezer = self.groups.freezer() if self.groups else None
        request["freezer"] = freezer is not None
        shown += [freezer] if freezer is not None else []
        try:
            self.pid, _ = await self.ask("start", [*given, *shown], **request)
            self._ended = os.pidfd_open(self.pid)
            self._hold = Hold(self.pid, self.groups)
        except (StepError, OSError) as error:
            what = f"box {self.box_id} does not start"
            raise failed(what, error, self.plant.keeper.folder) from error
        finally:
            for descriptor in shown:
                os.close(descriptor)
            if disk is not None:
                disk.handed_over()
            main.handed_over()
            self._spare.handed_over()
        self.network = Network(
            self.plant, self.spec, box_id=self.box_id, pid=self.pid, tasks=services
        )
        await self.network.use(self.spec.network)
        return main

    def _shown(self) -> list[int]:
        """The mounts, for a keeper who could not reach them; the box's root owns private ones."""
        for mount in self.spec.mounts:
            if mount.private:
                owner = self.plant.keeper.owner
                os.chown(mount.source, owner, owner, follow_symlinks=False)
        return [syscalls.detached(path) for path in self._mounts]

    @property
    def _parents(self) -> cgroups.Parents:
        return cgroups.needed(self.spec.limits, self.plant.groups)

    async def _disk(self) -> Disk | None:
        size_mb, disks = self.spec.limits.storage_mb, self.plant.disks
        if size_mb is None or disks is None:
            return None
        return await anyio.to_thread.run_sync(disks.make, size_mb)

    def _labels(self) -> dict[str, str]:
        groups = cgroups.names(self.box_id, self._parents)
        named = ":".join(map(str, dict.fromkeys(groups.values())))
        return {**owner_labels(self.spec.labels), GROUPS: named}

    def _config(self) -> str:
        binds = [bundle.Bind(source=self.plant.init, target=bundle.INIT)]
        for number, mount in enumerate(self.spec.mounts):
            binds.append(bundle.Bind(source=f"mount{number}", target=mount.target))
        return bundle.config(
            bundle.Bundle(
                hostname=self.hostname or self.box_id,
                argv=(bundle.INIT, "-s", "--", "sh", "-c", FIRST_SHELLS),
                env=self.env,
                cwd=self.workdir,
                binds=tuple(binds),
            )
        )

    @property
    def _is_root(self) -> bool:
        return self.user in {"root", "0", "root:root", "0:0"}

    @property
    def user(self) -> str:
        """The box's own user."""
        return self.spec.user or self.rootfs.user

    @property
    def workdir(self) -> str:
        """Where commands start."""
        return self.spec.workdir or self.rootfs.workdir

    @property
    def env(self) -> dict[str, str]:
        """What every process of the box is started with."""
        return {**self.rootfs.env, **self.spec.env}

    @property
    def _mounts(self) -> list[str]:
        return [str(mount.source) for mount in self.spec.mounts]

    def _request(self) -> dict[str, object]:
        return {
            "runtime": self.plant.runtime,
            "home": self.folder.home,
            "sized": self.folder.disk is not None,
            "layers": self.layers,
            "flatten": _layers(self.flatten),
            "trees": [{"target": t.target, "bases": t.bases} for t in self.rootfs.trees],
            "mounts": self._mounts,
            "private": [n for n, mount in enumerate(self.spec.mounts) if mount.private],
            "lay": {}
            if self.lineage
            else first_files(self.hostname or self.box_id, self.spec.network),
        }

    async def ask(
        self, step: str, files: Sequence[int] = (), **request: object
    ) -> tuple[Any, list[int]]:
        """Have the keeper do something for this box. Raises StepError."""
        about = {"box": self.box_id, "pid": self.pid, **request}
        return await self.plant.keeper.ask(step, files, **about)

    @property
    def policy(self) -> NetworkPolicy:
        """The network policy in force."""
        return (self.network and self.network.policy) or self.spec.network

    async def use_network(self, policy: NetworkPolicy) -> None:
        """Enforce another one."""
        assert self.network is not None
        await self.network.use(policy)

    def _kill(self) -> None:
        if self._ended >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._ended, signal.SIGKILL)
        if self.groups and self._hold and self._hold.is_taken:
            self.groups.thaw()

    async def _end(self) -> None:
        self._kill()
        if self.network is not None:
            await self.network.close()
        for pipes in (self._main, self._spare):
            if pipes is not None:
                pipes.close()
        if self._ended >= 0:
            await anyio.wait_readable(self._ended)
            os.close(self._ended)
            self._ended = -1
        if self.groups is not None:
            await self.groups.remove()
        if self._folder is not None:
            for folder in (self._folder, *self.below):
                await folder.leave()

    # --- lanes

    def _machine(self) -> Machine:
        return Machine(spawn=self._spawn, alive=self._is_alive, subreaper=bundle.INIT)

    async def _is_alive(self) -> bool:
        return self.alive()

    async def _spawn(self, argv: Sequence[str], user: str | None) -> Pipes:
        self.check()
        if self._spare is not None and list(argv) == ["sh"] and user == CONTROL_USER:
            spare, self._spare = self._spare, None
            return spare
        who = await self._who(user or self.user)
        process = bundle.process(tuple(argv), who, self.env, cwd=self.workdir)
        pipes = Pipes()
        doors = self.groups.doors() if self.groups else []
        try:
            files = [*pipes.theirs, *doors]
            await self.ask("execute", files, runtime=self.plant.runtime, process=process)
        except StepError as error:
            pipes.close()
            self.check()
            raise SandboxError(f"box {self.box_id}: {error.message}") from error
        finally:
            pipes.handed_over()
            for door in doors:
                os.close(door)
        return pipes

    async def _who(self, name: str) -> bundle.User:
        if name in {"root", "0"}:
            return bundle.User()
        (passwd, group), _ = await self.ask("look", paths=["/etc/passwd", "/etc/group"])
        return users.resolve(name, passwd or "", group or "")


def _layers(folders: Sequence[Folder]) -> list[str]:
    return [layer for folder in folders for layer in (folder.upper, *folder.below)]
