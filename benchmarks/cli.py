"""How light the command is: starting it against a bare Python that does nothing, in turn, and the
size of an installation without extras.

usage: python -m benchmarks.cli [--rounds N] [--no-install]
the installation needs a package index
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from functools import partial
from pathlib import Path

from benchmarks.pairs import Figure, in_turn, report

PROJECT = Path(__file__).parent.parent
MB = 1_000_000
MIB = 1024 * 1024
STARTS = {"--version": 0.1, "--help": 0.2}
HELP_MIB = 45
INSTALL_MB = 90
NOT_OURS = (
    "pip",
    "setuptools",
    "pkg_resources",
    "wheel",
    "_distutils_hack",
    "distutils-precedence",
)
PEAK = """
import sys
sys.argv = ["mechagym", "--help"]
from mechagym.cli import main
try:
    main()
except SystemExit:
    pass
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def start(*args: str) -> None:
    """Run Python with these arguments; its output is dropped."""
    subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=True)


def starting(argument: str, limit_s: float, rounds: int) -> Figure:
    """The installed command, as one types it, against `python -c pass`."""
    command = Path(sys.executable).parent / "mechagym"
    ours_s, bare_s, ratio = in_turn(
        partial(start, str(command), argument), partial(start, "-c", "pass"), rounds
    )
    return Figure(
        what=f"mechagym {argument}",
        value=f"{ours_s:.3f} s, bare Python {bare_s:.3f} s: {ratio:.1f} ×",
        goal=f"≤ {limit_s:g} s",
        held=ours_s <= limit_s,
    )


def help_memory() -> Figure:
    """The peak of `--help`, as the kernel counted it for that process alone.

    Not `ru_maxrss` of a child: that begins with what its parent had when it forked.
    """
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    peak_mib = int(done.stderr.split()[-1]) / 1024
    return Figure(
        what="mechagym --help, peak memory",
        value=f"{peak_mib:.1f} MiB",
        goal=f"≤ {HELP_MIB} MiB",
        held=peak_mib <= HELP_MIB,
    )


def install_size() -> Figure:
    """A fresh environment with `pip install .`, without what pip itself is."""
    with tempfile.TemporaryDirectory() as name:
        venv.create(name, with_pip=True)
        pip = [str(Path(name, "bin", "python")), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, str(PROJECT)], check=True)
        [packages] = Path(name, "lib").glob("python3*/site-packages")
        size_mb = sum(map(disk_bytes, packages.iterdir())) / MB
    return Figure(
        what="installation without extras",
        value=f"{size_mb:.1f} MB",
        goal=f"≤ {INSTALL_MB} MB",
        held=size_mb <= INSTALL_MB,
    )


def disk_bytes(entry: Path) -> int:
    """What a package takes on disk, compiled files included; 0 for what every environment has."""
    if entry.name.startswith(NOT_OURS):
        return 0
    inside = (Path(root, file) for root, _, files in os.walk(entry) for file in files)
    return sum(path.lstat().st_blocks * 512 for path in [entry, *inside])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(usage=(__doc__ or "").split("usage: ")[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-install", action="store_true", help="leave the installation out")
    args = parser.parse_args()
    figures = [starting(argument, limit, args.rounds) for argument, limit in STARTS.items()]
    figures.append(help_memory())
    if not args.no_install:
        figures.append(install_size())
    report("How light the command is", figures)


if __name__ == "__main__":
    main()
