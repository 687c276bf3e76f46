"""Checks of commands: what goes in arrives, what comes out is whole, and how it ended is told."""

import anyio

from mechagym.sandbox.base import ExecOptions, ExecResult, Stream
from mechagym.testing.conformance.subject import Collection, Subject, same, that

COMMANDS = Collection(section=1)
check = COMMANDS.check

_SIGNS = 'it\'s "quoted" $(echo no) `echo no` {a,b} $HOME * \\ \t;&|<>#~'
ODD = f"{_SIGNS} \u00fcn\u00ef \U0001f41f\nline two"
OUTPUT = "printf 'a\\nb'; printf 'err' >&2"


@check()
async def an_exit_code_is_data(subject: Subject) -> None:
    for code in (0, 1, 3, 77, 126, 127, 255):
        same((await subject.sh(f"exit {code}")).exit_code, code)


@check()
async def a_missing_program_is_127(subject: Subject) -> None:
    same((await subject.run(["no-such-program-here"])).exit_code, 127)


@check()
async def a_file_that_cannot_run_is_126(subject: Subject) -> None:
    await subject.box.put(b"text", "/tmp/not-runnable")
    same((await subject.run(["/tmp/not-runnable"])).exit_code, 126)


@check()
async def a_death_by_signal_is_told(subject: Subject) -> None:
    for number in (9, 15):
        result = await subject.sh(f"kill -{number} $$; sleep 5")
        same((result.exit_code, result.signal), (128 + number, number))


@check()
async def the_two_streams_are_apart(subject: Subject) -> None:
    result = await subject.sh("echo out; echo err >&2; echo out2; echo err2 >&2")
    same((result.stdout, result.stderr), (b"out\nout2\n", b"err\nerr2\n"))


@check()
async def a_missing_newline_stays_missing(subject: Subject) -> None:
    result = await subject.sh("printf out; printf err >&2; exit 4")
    same((result.stdout, result.stderr, result.exit_code), (b"out", b"err", 4))


@check()
async def no_output_is_empty(subject: Subject) -> None:
    result = await subject.sh(":")
    same((result.stdout, result.stderr, result.stdout_total), (b"", b"", 0))


@check()
async def binary_output_is_untouched(subject: Subject) -> None:
    data = bytes(range(256)) * 300
    await subject.box.put(data, "/tmp/binary")
    result = await subject.run(["cat", "/tmp/binary"])
    same((result.stdout, result.stdout_total), (data, len(data)))


@check()
async def text_that_looks_like_framing_is_only_text(subject: Subject) -> None:
    nonce = b"0123456789abcdef" * 2
    data = (
        b"\x1e" * 50 + b"\x1e" + nonce + b" 0 0\n" + b"\x1e" + nonce + b" +\n\0\r\n__mg_end\n\x04"
    )
    await subject.box.put(data, "/tmp/frames")
    result = await subject.sh("cat /tmp/frames; cat /tmp/frames >&2; exit 9")
    same((result.stdout, result.stderr, result.exit_code), (data, data, 9))


@check()
async def closed_descriptors_do_no_harm(subject: Subject) -> None:
    same((await subject.sh("exec >&- 2>&- <&-; exit 5")).exit_code, 5)
    same((await subject.sh("echo still here")).stdout, b"still here\n")


@check()
async def arguments_arrive_as_they_are(subject: Subject) -> None:
    words = [ODD, "", " ", "-n", "--", "%s", "a\nb\n", "'", '"', "$'x'", "\x01\x7f"]
    result = await subject.run(["printf", "[%s]", *words])
    same(result.stdout, "".join(f"[{word}]" for word in words).encode())


@check()
async def environment_values_arrive_as_they_are(subject: Subject) -> None:
    env = {"ODD": ODD, "EMPTY": "", "EQUALS": "a=b=c", "_under": "x"}
    result = await subject.sh('printf "[%s]" "$ODD" "$EMPTY" "$EQUALS" "$_under"', env=env)
    same(result.stdout, f"[{ODD}][][a=b=c][x]".encode())


@check()
async def environment_of_one_command_is_gone_for_the_next(subject: Subject) -> None:
    await subject.sh("true", env={"GONE": "x", "SPEC_ENV": "changed"})
    result = await subject.sh('printf "[%s][%s]" "$GONE" "$SPEC_ENV"')
    same(result.stdout, b"[][of the spec]")


@check()
async def nothing_of_one_command_is_left_for_the_next(subject: Subject) -> None:
    await subject.sh("cd /tmp; set -e; umask 077; X=1; export X; alias ls=false; exit 0")
    result = await subject.sh('pwd; printf "%s" "$X"; false; echo on')
    same(result.stdout, f"{subject.box.info.workdir}\non\n".encode())


@check()
async def the_working_directory_is_the_boxs_or_the_one_asked_for(subject: Subject) -> None:
    same((await subject.run(["pwd"])).stdout, f"{subject.spec.workdir}\n".encode())
    await subject.sh("mkdir -p '/tmp/odd dir $x'")
    same((await subject.run(["pwd"], cwd="/tmp/odd dir $x")).stdout, b"/tmp/odd dir $x\n")


@check()
async def a_missing_working_directory_is_told(subject: Subject) -> None:
    result = await subject.sh("echo ran", cwd="/no/such/folder")
    that(result.exit_code not in (0, None) and b"ran" not in result.stdout, result)


@check()
async def another_user_can_run_a_command(subject: Subject) -> None:
    same((await subject.run(["id", "-un"])).text.strip(), "root")
    same((await subject.run(["id", "-un"], user="nobody")).text.strip(), "nobody")
    same((await subject.run(["id", "-un"])).text.strip(), "root")


@check()
async def standard_input_is_given_whole(subject: Subject) -> None:
    data = bytes(range(256)) * 2000
    same((await subject.run(["cat"], stdin=data)).stdout, data)
    same((await subject.sh("cat; exit 3", stdin=b"")).exit_code, 3)


@check()
async def standard_input_that_nobody_reads_is_no_error(subject: Subject) -> None:
    result = await subject.sh("exit 6", stdin=bytes(1_000_000))
    same(result.exit_code, 6)


@check()
async def without_standard_input_there_is_none(subject: Subject) -> None:
    result = await subject.sh("cat; echo end", timeout_s=10)
    same(result.stdout, b"end\n")


@check()
async def long_output_keeps_head_and_tail_and_says_so(subject: Subject) -> None:
    result = await subject.sh("echo first; seq 200000; echo last", limit_bytes=2000)
    total = len("first\nlast\n") + sum(len(str(n)) + 1 for n in range(1, 200001))
    same(result.stdout_total, total)
    that(len(result.stdout) <= 2000, len(result.stdout))
    that(result.stdout.startswith(b"first\n1\n2\n"), result.stdout[:50])
    that(result.stdout.endswith(b"200000\nlast\n"), result.stdout[-50:])
    that(b"left out" in result.stdout, result.stdout)


@check()
async def much_output_passes_in_small_memory(subject: Subject) -> None:
    size = 20_000_000
    result = await subject.sh(f"head -c {size} /dev/zero", limit_bytes=1000, timeout_s=60)
    same((result.exit_code, result.stdout_total), (0, size))
    that(len(result.stdout) <= 1000)


@check()
async def output_is_told_while_it_comes_and_in_order(subject: Subject) -> None:
    seen: list[tuple[Stream, bytes]] = []
    first = anyio.Event()

    def tell(stream: Stream, data: bytes) -> None:
        seen.append((stream, data))
        first.set()

    async def run() -> None:
        await subject.sh("echo one; sleep 1.5; echo two; echo err >&2", on_output=tell)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(10):
            await first.wait()
        that(b"two" not in b"".join(data for _, data in seen), seen)
    same(b"".join(d for s, d in seen if s == "stdout"), b"one\ntwo\n")
    same(b"".join(d for s, d in seen if s == "stderr"), b"err\n")


@check()
async def commands_run_side_by_side(subject: Subject) -> None:
    results: dict[int, ExecResult] = {}

    async def one(number: int) -> None:
        results[number] = await subject.sh(f"echo {number}; sleep 1; echo {number}; exit {number}")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(one, number)
    for number, result in results.items():
        same((result.stdout, result.exit_code), (f"{number}\n{number}\n".encode(), number))
    longest = max(result.duration_s for result in results.values())
    that(longest < 5, longest)


@check(ways=("lane",))
async def both_ways_give_the_same(subject: Subject) -> None:
    for text in (OUTPUT, "exit 3", "kill -9 $$", "pwd; id -un; echo $SPEC_ENV", "cat"):
        lane = await subject.box.exec(["sh", "-c", text])
        other = await subject.box.exec(["sh", "-c", text], ExecOptions(fallback=True))
        same(_essence(lane), _essence(other))


def _essence(result: ExecResult) -> tuple[object, ...]:
    return result.exit_code, result.signal, result.stdout, result.stderr, result.stdout_total


@check(ways=("lane",))
async def the_box_says_what_it_is(subject: Subject) -> None:
    info = subject.box.info
    same(info.backend, subject.sandbox.name)
    that(info.box_id, info)
    same(info.workdir, subject.spec.workdir)
    that(set(info.limits_enforced) <= set(subject.sandbox.capabilities.limits), info)
