"""The program, built from its source, counts like a few lines of Python do."""

import itertools
import random
import re
import resource
import signal
import string
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path


@cache
def program():
    """Build the source in a new folder, away from whatever else lies in /app."""
    folder = Path(tempfile.mkdtemp())
    source = folder / "wordcount.c"
    source.write_bytes(Path("/app/wordcount.c").read_bytes())
    done = subprocess.run(
        ["gcc", "-O2", "-o", "wordcount", "wordcount.c"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-800:]
    return folder / "wordcount"


def count(data):
    """What the program prints for these bytes.

    It gets five seconds of the processor, however busy the machine is with others.
    """
    done = subprocess.run(
        [program()],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (5, 5)),
    )
    assert done.returncode not in (-signal.SIGXCPU, -signal.SIGKILL), "it takes over 5 seconds"
    assert done.returncode == 0, f"exit code {done.returncode}"
    return done.stdout


def expected(data):
    words = Counter(word.lower() for word in re.findall(rb"[A-Za-z]+", data))
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return b"".join(b"%d %s\n" % (number, word) for word, number in ranked)


def check(data):
    # Not `==` in the assertion itself: nobody wants to read a megabyte of difference.
    same = count(data) == expected(data)
    assert same, f"wrong counts for an input of {len(data)} bytes that begins {data[:40]!r}"


def test_it_builds():
    program()


def test_small_texts():
    check(b"")
    check(b"12 -- !\n")
    check(b"The cat and the hat.\n")
    check(b"b a c B A\n")


def test_the_input_may_end_within_a_word():
    check(b"one two two")
    check(b"x")


def test_any_byte_separates():
    check(b"a\0b\xffc\xfed\x80e\nend\n")
    check(bytes(range(256)) * 3)


def test_long_words():
    check(b"a" * 63 + b" " + b"b" * 64 + b" " + b"c" * 65 + b"\n")
    check(b"Q" * 1_000_000 + b" q " + b"q" * 1_000_000 + b"\n")


def test_many_different_words():
    dice = random.Random(11)
    words = [
        "".join(dice.choices(string.ascii_letters, k=dice.randint(1, 9))) for _ in range(8_000)
    ]
    check(" ".join(words * 2).encode())


def test_hundreds_of_thousands_of_words_take_seconds():
    # Also words of the same letters, which a weak hash puts into one place.
    shuffled = itertools.islice(itertools.permutations("abcdefghijk"), 100_000)
    ordered = itertools.islice(itertools.product(string.ascii_lowercase, repeat=5), 300_000)
    check("\n".join(map("".join, itertools.chain(shuffled, ordered))).encode())
