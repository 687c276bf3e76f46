"""Task folders out of git repositories: `git+URL[@rev][#subdir]`, shallow, cached by commit.

A commit that is in the cache is never asked for again. Only the tree is kept, without `.git`. The
git program is never given a terminal or hooks, so it can neither ask nor run anything of theirs.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mechagym.errors import TaskError
from mechagym.tasks.cache import cache_folder, made_once

PREFIX = "git+"
TIMEOUT_S = 900
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "core.askPass=true")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A place in a repository. `rev` None: its default branch; `subdir` empty: all of it."""

    url: str
    rev: str | None = None
    subdir: str = ""

    @property
    def name(self) -> str:
        """The last word of the place, as a dataset's name."""
        return self.subdir.rpartition("/")[2] or self.repository

    @property
    def repository(self) -> str:
        """The last word of the address."""
        return self.url.rstrip("/").rpartition("/")[2].removesuffix(".git") or "tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """Files of one commit in the cache."""

    folder: Path
    commit: str


def parse_git(source: str) -> GitSource:
    """Read `git+URL[@rev][#subdir]`. Raises TaskError."""
    url, _, subdir = source.removeprefix(PREFIX).partition("#")
    scheme, found, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    place, _, rev = path.rpartition("@") if "@" in path else (path, "", "")
    subdir = subdir.removeprefix("subdirectory=").strip("/")
    if not found or not scheme or not slash or not place:
        raise TaskError(f"{source}: not a git address", remedy="Write git+URL[@rev][#subdir].")
    if ".." in subdir.split("/") or rev.startswith("-"):
        raise TaskError(f"{source}: the folder must be inside the repository")
    return GitSource(url=f"{scheme}://{host}/{place}", rev=rev or None, subdir=subdir)


def checkout(source: GitSource, cache: Path | None = None) -> Checkout:
    """Have the files of a source in the cache. Raises TaskError that says what git said."""
    home = cache_folder(cache) / "git" / hashlib.sha256(source.url.encode()).hexdigest()[:16]
    commit = _commit_of(source)
    place = home / commit / source.repository  # a task in its root is named by its folder
    root = made_once(place, lambda target: _fetch(source.url, commit, target))
    folder = (root / source.subdir).resolve()
    if not folder.is_dir() or not folder.is_relative_to(root.resolve()):
        raise TaskError(f"{source.url}: no folder {source.subdir!r} at commit {commit[:12]}")
    return Checkout(folder=folder, commit=commit)


def _commit_of(source: GitSource) -> str:
    rev = source.rev or "HEAD"
    if _COMMIT.fullmatch(rev):
        return rev
    listed = _git("ls-remote", "--", source.url, rev, f"{rev}^{{}}", url=source.url)
    refs = {name: commit for commit, name in (ln.split("\t") for ln in listed.splitlines())}
    wanted = (f"refs/tags/{rev}^{{}}", f"refs/tags/{rev}", f"refs/heads/{rev}", rev)
    found = next((refs[name] for name in wanted if name in refs), None)
    return found or _abbreviated(source.url, rev)


def _abbreviated(url: str, rev: str) -> str:
    """Resolve what the server does not list, such as a short commit: needs the whole history."""
    with tempfile.TemporaryDirectory(prefix="mechagym-git-") as room:
        _git("clone", "-q", "--bare", "--filter=blob:none", "--", url, room, url=url)
        return _git("-C", room, "rev-parse", "--verify", f"{rev}^{{commit}}", url=url).strip()


def _fetch(url: str, commit: str, target: Path) -> None:
    at = ("-C", str(target))
    _git(*at, "init", "-q", url=url)
    try:
        _git(*at, "fetch", "-q", "--depth=1", "--", url, commit, url=url)
    except TaskError:  # a server that gives out only the ends of branches
        _git(
            *at, "fetch", "-q", "--tags", "--", url, "+refs/heads/*:refs/remotes/origin/*", url=url
        )
    _git(*at, "checkout", "-q", "--detach", commit, url=url)
    shutil.rmtree(target / ".git")


def _git(*words: str, url: str) -> str:
    try:
        done = subprocess.run(
            ["git", *_SAFE, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise TaskError(f"{url}: needs git", remedy="Install git and try again.") from None
    except subprocess.TimeoutExpired:
        raise TaskError(f"{url}: git did not end within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise TaskError(f"{url}: git failed: {said[-1]}", reason="git_failed")
    return done.stdout
