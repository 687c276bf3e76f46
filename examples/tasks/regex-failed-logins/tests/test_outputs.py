"""The pattern must find what a parser that knows the log's making knows to be there."""

import json
import random
import subprocess
import sys
from pathlib import Path

PATTERN = Path("/app/pattern.txt")
VISIBLE = [
    ("root", "203.0.113.9", "51022"),
    ("admin", "198.51.100.7", "40022"),
    ("deploy", "2001:db8::5", "42000"),
    ("oracle", "fe80::1%eth0", "42001"),
    ("", "203.0.113.10", "33210"),
    ("root from 10.0.0.1 port 22 ssh2", "198.51.100.99", "50505"),
    ("erika", "192.0.2.17", "51312"),
    ("two words", "203.0.113.77", "2222"),
]
NAMES = ["root", "admin", "", "a b", "from", "x from 9.9.9.9", "y port 22 ssh2", "näme", "a.b-c_d$"]
ADDRESSES = ["198.51.100.23", "2001:db8:0:1::ff", "::1", "fe80::a:b%enp0s3", "::ffff:192.0.2.1"]
NOISE = [
    "sshd[9]: Accepted password for root from 192.0.2.1 port 1 ssh2",
    "sshd[9]: Failed publickey for root from 192.0.2.1 port 1 ssh2: RSA SHA256:abc",
    "sshd[9]: Failed none for invalid user q from 192.0.2.1 port 1 ssh2",
    "sshd[9]: message repeated 3 times: [ Failed password for root from 192.0.2.1 port 1 ssh2]",
    "sudo: x : COMMAND=/bin/echo sshd[9]: Failed password for root from 192.0.2.1 port 1 ssh2",
    "notsshd[9]: Failed password for root from 192.0.2.1 port 1 ssh2",
    "sshd[9]: PAM: Failed password for root from 192.0.2.1 port 1 ssh2",
    "sshd[9]: Failed password for root from 192.0.2.1 port 1 ssh2 [preauth]",
]
FIND = """
import json, re, sys
pattern, text = json.load(sys.stdin)
found = [(m["user"], m["address"], m["port"]) for m in re.finditer(pattern, text, re.MULTILINE)]
print(json.dumps(found))
"""


def find(text):
    """What the pattern finds; in a process of its own, since a bad pattern may never end."""
    pattern = PATTERN.read_text(encoding="utf-8").strip("\r\n")
    done = subprocess.run(
        [sys.executable, "-I", "-c", FIND],
        input=json.dumps([pattern, text]),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return [tuple(row) for row in json.loads(done.stdout)]


def stamp(second):
    return f"2026-07-09T11:{second // 60 % 60:02d}:{second % 60:02d}.000123+02:00 box"


def test_the_given_log():
    assert find(Path("/app/auth.log").read_text(encoding="utf-8")) == VISIBLE


def test_another_log():
    dice = random.Random(7)
    lines, expected = [], []
    for second in range(400):
        if dice.random() < 0.4:
            lines.append(f"{stamp(second)} {dice.choice(NOISE)}")
            continue
        login = (dice.choice(NAMES), dice.choice(ADDRESSES), str(dice.randint(1, 65535)))
        expected.append(login)
        program = dice.choice(["sshd", "sshd-session"]) + f"[{dice.randint(2, 99999)}]"
        # An empty name is only ever sent by somebody whom the machine does not know.
        invalid = "invalid user " if not login[0] or dice.random() < 0.5 else ""
        user, address, port = login
        lines.append(
            f"{stamp(second)} {program}: Failed password for {invalid}{user}"
            f" from {address} port {port} ssh2"
        )
    assert find("\n".join(lines) + "\n") == expected


def test_no_match_spans_lines():
    head = f"{stamp(1)} sshd[5]: Failed password for root\n"
    assert find(head + f"{stamp(2)} sshd[5]: from 192.0.2.1 port 22 ssh2\n") == []


def test_long_lines_do_not_hang_it():
    name = "a from 1.1.1.1 port 1 " * 4000
    line = f"{stamp(3)} sshd[5]: Failed password for invalid user {name}"
    assert find(line + "\n") == []
    assert find(f"{line} from 192.0.2.8 port 77 ssh2\n") == [(name, "192.0.2.8", "77")]
