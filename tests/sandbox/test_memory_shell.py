"""The mini shell does what a shell does, as far as the scripts of tests go."""

import subprocess
import time

import anyio
import pytest

from mechagym.errors import ImageError
from mechagym.sandbox.base import BoxSpec, BuildImage, ExecOptions, RegistryImage
from mechagym.testing.memory import MemorySandbox

SPEC = BoxSpec(image=RegistryImage(reference="x"), workdir="/tmp/w")
SCRIPTS = [
    "echo a b  'c  d' \"e $((1+2*3)) f\"",
    'x=\'a b\'; echo $x "$x"; set -- $x; echo $# "$2"',
    "for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done",
    "i=0; while [ $i -lt 5 ]; do i=$((i+1)); [ $i = 4 ] && break; echo $i; done",
    'f() { echo "$1"; return 3; }; f x; echo $?',
    "if false; then echo 1; elif true; then echo 2; else echo 3; fi",
    "case a.txt in *.py) echo py;; *.txt|*.md) echo text;; esac",
    "echo a >f; echo b >>f; cat <f; cat f | tr a-b A-B 2>/dev/null; wc -l <f | tr -d ' '",
    "cat <<EOF\nhello $((2+2))\nEOF\ncat <<'EOF'\n$x\nEOF",
    "(exit 5); echo $?; ! true; echo $?; false || echo or; true && echo and",
    "set -e; (false; echo no) || echo caught; echo on; false; echo never",
    "false | true; echo $?; true | false; echo $?",
    "a=${b:-default}; echo ${a%ault} ${a#de} ${#a} ${b-unset} ${a:+set}",
    "mkdir -p d/e; touch d/e/f; ls d; rm -r d; ls",
    "printf '%s-%d\\n' a 1 b 2; printf 'x\\ty\\n'",
    "x=$(printf 'a\\n\\n'); echo \"[$x]\"; echo `echo old`",
    "trap 'echo bye' EXIT; echo hi",
    "sleep 0.1 & wait; echo waited; { echo group; } >g; cat g",
    "exec 3>out; echo three >&3; exec 3>&-; cat out; echo err 2>&1 >/dev/null",
    "IFS=:; set -- a:b; x=a:b:c; for p in $x; do echo $p; done",
    "read x <<EOF\none two\nEOF\necho $x; printf 'l1\\nl2\\n' | while read l; do echo =$l; done",
    "ln -s nowhere l; [ -e l ] || echo broken; [ -L l ] && readlink l; echo *",
    "seq 5 | head -2; seq 5 | tail -2; seq 5 | grep -c 3; seq 3 | sort -r",
]


@pytest.mark.parametrize("script", SCRIPTS)
async def test_it_says_what_sh_says(script: str, tmp_path):
    real = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=False)
    async with MemorySandbox().open(SPEC) as box:
        mini = await box.exec(["sh", "-c", script])
    assert (mini.stdout, mini.exit_code) == (real.stdout, real.returncode), mini.stderr


async def test_a_dockerfile_is_read_simply(tmp_path):
    (tmp_path / "data.txt").write_text("data")
    (tmp_path / "Dockerfile").write_text(
        "FROM any\nWORKDIR /srv\nENV A=b C='d e'\nCOPY data.txt ./\n"
        "RUN echo $A > \\\n  made\nUSER nobody\n"
    )
    image = BuildImage(context=tmp_path, digest="1")
    async with MemorySandbox().open(BoxSpec(image=image)) as box:
        result = await box.exec(["sh", "-c", "pwd; cat data.txt made; echo $C; id -un"])
    assert result.text == "/srv\ndatab\nd e\nnobody\n"


async def test_a_failing_build_tells_its_lines(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM any\nRUN echo why; exit 3\n")
    with pytest.raises(ImageError, match="why"):
        await MemorySandbox().prepare(BuildImage(context=tmp_path, digest="2"), lambda _: None)


async def test_a_bad_script_harms_only_itself():
    async with MemorySandbox().open(SPEC) as box:
        for script in ("if", "echo ${", "cat <", ")", "f() { f; }; f", "head -n x", "kill"):
            assert not (await box.exec(["sh", "-c", script], ExecOptions(timeout_s=5))).ok
        assert (await box.exec(["echo", "on"])).stdout == b"on\n"


async def test_a_thousand_boxes_are_cheap():
    sandbox = MemorySandbox()
    test = "mkdir -p /logs; if [ -f /app/x ]; then echo 1 >/logs/r; else echo 0 >/logs/r; fi"
    began = time.process_time()
    for _ in range(1000):
        async with sandbox.open(SPEC) as box:
            await box.put(test.encode(), "/tests/test.sh")
            assert (await box.exec(["sh", "/tests/test.sh"])).ok
    assert (time.process_time() - began) / 1000 < 0.005
    assert len(anyio.get_running_tasks()) < 5
