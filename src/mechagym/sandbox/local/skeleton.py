"""The layer that makes the host's own root usable as a box's: made by the keeper, once per state of
the host.

Listed is what is shown. `/etc` is copied file by file from a list of names; `/usr` and its like are
shown by overlayfs from the host, under empty folders of ours, so that a box's root may write in
them.
"""

import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

SHOWN = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
DPKG = "/var/lib/dpkg"
"""The package database, so that `apt-get install` of what the host has is quick."""

ETC = frozenset(
    (  # noqa: SIM905 – a hundred quoted lines would not be easier to read
        "adduser.conf alternatives apt bash.bashrc bash_completion bash_completion.d"
        " bindresvport.blacklist ca-certificates ca-certificates.conf debconf.conf debian_version"
        " default deluser.conf dpkg emacs ethertypes fonts gai.conf group gtk-2.0 gtk-3.0"
        " host.conf inputrc issue issue.net ld.so.cache ld.so.conf ld.so.conf.d libaudit.conf"
        " locale.alias locale.conf locale.gen localtime login.defs magic magic.mime mailcap"
        " mime.types mke2fs.conf nanorc netconfig networks nsswitch.conf os-release pam.conf pam.d"
        " passwd perl profile profile.d protocols python3 rpc security selinux services shells"
        " skel ssl terminfo timezone vim X11 xattr.conf xdg"
    ).split()
)
ETC_FAMILIES = ("java-", "python3.", "php", "ruby", "lsb-")
HIDDEN = frozenset({"private", "auth.conf", "auth.conf.d", "opasswd", "CA"})
"""Left out wherever they stand below `/etc`."""

FOLDERS = {
    "home": 0o755, "root": 0o700, "tmp": 0o1777, "opt": 0o755, "srv": 0o755, "mnt": 0o755,
    "media": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "var": 0o755,
    "var/tmp": 0o1777, "var/cache": 0o755, "var/cache/apt": 0o755,
    "var/cache/apt/archives": 0o755, "var/cache/apt/archives/partial": 0o755, "var/lib": 0o755,
    "var/lib/apt": 0o755, "var/lib/apt/lists": 0o755, "var/lib/apt/lists/partial": 0o755,
    "var/lib/dpkg": 0o755, "var/local": 0o755, "var/log": 0o755, "var/log/apt": 0o755,
    "var/mail": 0o775, "var/opt": 0o755, "var/spool": 0o755,
}  # fmt: skip
LINKS = {"var/run": "/run", "var/lock": "/run/lock"}
DEPTH = 3
LOCAL = "/usr/local"
"""A box's root may write in folders so deep below a tree (and below this one): more would cost
seconds.
"""

NOBODY = frozenset({"nobody", "nogroup"})
_FIRST_PERSON = 1000
_BIG = 4 * 1024 * 1024
_PASSWORD = re.compile(rb"://[^/\s'\"]*@")


def shows(name: str) -> bool:
    """Whether a name directly in `/etc` is shown."""
    return name in ETC or name.startswith(ETC_FAMILIES)


def shown_folders(root: Path = Path("/")) -> list[str]:
    """The host's folders that are shown as they are; links among them are links in the box, too."""
    found = [path for path in SHOWN if _is_folder(root / path.lstrip("/"))]
    return [*found, DPKG] if _is_folder(root / DPKG.lstrip("/")) else found


def make(target: Path, folders: list[str]) -> None:
    """Write the layer: tree 0 is `/`, then one tree per shown folder, in order."""
    os.umask(0)
    root = target / "0"
    root.mkdir(parents=True)
    root.chmod(0o755)
    for name, mode in FOLDERS.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    for name, link in LINKS.items():
        (root / name).symlink_to(link)
    for path in SHOWN:
        if Path(path).is_symlink():
            (root / path.lstrip("/")).symlink_to(os.readlink(path))  # noqa: PTH115
    (root / "etc").mkdir(mode=0o755)
    for name in sorted(os.listdir("/etc")):  # noqa: PTH208
        if shows(name):
            _copy(Path("/etc", name), root / "etc" / name)
    for name in ("passwd", "group"):
        _keep_system_accounts(root / "etc" / name)
    for number, folder in enumerate(folders, 1):
        (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        _folders_of(Path(folder), target / str(number))
    if DPKG in folders:
        _files_of(Path(DPKG), target / str(folders.index(DPKG) + 1))


def _copy(source: Path, target: Path) -> None:
    """Copy what every user of the host may read, but no file with a password in a URL."""
    if source.name in HIDDEN:
        return
    with suppress(PermissionError):
        at = source.lstat()
        if stat.S_ISLNK(at.st_mode):
            target.symlink_to(os.readlink(source))  # noqa: PTH115
        elif stat.S_ISDIR(at.st_mode) and at.st_mode & stat.S_IROTH:
            names = sorted(os.listdir(source))  # noqa: PTH208
            target.mkdir()
            target.chmod(stat.S_IMODE(at.st_mode))
            for name in names:
                _copy(source / name, target / name)
        elif stat.S_ISREG(at.st_mode) and at.st_mode & stat.S_IROTH and not _secret(source):
            shutil.copyfile(source, target)
            target.chmod(stat.S_IMODE(at.st_mode))


def _keep_system_accounts(table: Path) -> None:
    """Leave the people of the host out: their ids are free for users of the box."""
    lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    kept = [line for line in lines if _is_system(line.split(":"))]
    table.write_text("".join(kept), encoding="utf-8", errors="surrogateescape")


def _is_system(row: list[str]) -> bool:
    return len(row) > 2 and row[2].isdecimal() and (int(row[2]) < _FIRST_PERSON or row[0] in NOBODY)


def _secret(path: Path) -> bool:
    return path.stat().st_size < _BIG and bool(_PASSWORD.search(path.read_bytes()))


def _folders_of(source: Path, target: Path) -> None:
    """Make the empty folders of a tree, by plain system calls, since there are thousands."""
    waiting = [(str(source), str(target), DEPTH)]
    while waiting:
        theirs, ours, depth = waiting.pop()
        with suppress(OSError):
            os.mkdir(ours, stat.S_IMODE(os.stat(theirs).st_mode))  # noqa: PTH102, PTH116
            below = DEPTH if theirs == LOCAL else depth - 1
            with os.scandir(theirs) as entries:
                waiting += [
                    (entry.path, f"{ours}/{entry.name}", below)
                    for entry in entries
                    if below >= 0 and entry.is_dir(follow_symlinks=False)
                ]


def _files_of(source: Path, target: Path) -> None:
    """Copy the files right in a folder: what is opened for writing cannot stay the host's."""
    for entry in os.scandir(source):
        with suppress(PermissionError):
            if entry.is_file(follow_symlinks=False):
                shutil.copyfile(entry.path, target / entry.name)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
