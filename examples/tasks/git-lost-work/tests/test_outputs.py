"""The repository works again and holds the original commits."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

REPO = Path("/app/repo")
ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
}


def git(*args, repo=REPO):
    """Run git without any settings but ours; its output without the last newline."""
    # No fsmonitor and no hooks: a repository is data here and must not run programs.
    settings = ["-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null"]
    done = subprocess.run(
        ["git", *settings, "-C", str(repo), *args],
        capture_output=True,
        text=True,
        env=ENV,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr.strip()}"
    return done.stdout.rstrip("\n")


def test_main_is_checked_out_at_the_lost_commit():
    assert git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert git("rev-parse", "HEAD") == "a5c10661f2e94c3e8fbcf8e4561ec0c7691a1bfc"


def test_discounts_is_back():
    assert git("rev-parse", "refs/heads/discounts") == "e8669259c61ce916b726a474a27290779cb7285e"


def test_the_tag_is_untouched():
    assert git("rev-parse", "refs/tags/v1.0") == "de97e4fcd5e0f6114c3330ce335fb1841ebc6239"


def test_files_are_those_of_main_and_the_notes_are_kept():
    assert git("status", "--porcelain", "--untracked-files=all") == "?? notes.txt"
    assert (REPO / "notes.txt").read_text() == "Ask Grace about the price of plums.\n"


def test_the_total_is_rounded_to_cents():
    done = subprocess.run(
        ["sh", "total.sh"], cwd=REPO, capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout.strip() in {"4.55", "4.56"}


def test_fsck_is_content():
    git("fsck", "--strict")


def test_one_can_commit_again():
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "repo"
        shutil.copytree(REPO, copy, symlinks=True)
        for path in [copy, *copy.rglob("*")]:
            os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False)
        git("add", "notes.txt", repo=copy)
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
        git(*identity, "commit", "-q", "-m", "Keep the notes", repo=copy)
        assert git("rev-parse", "HEAD^", repo=copy) == git("rev-parse", "HEAD")
