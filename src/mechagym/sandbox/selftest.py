"""What holds in a box, proved from inside it with what the image has: bash, python3, perl or nc.

With none of them the box's routes are read, by the shell alone: where none leads out, all is
closed. What is to be closed and cannot be proved so does not hold.
"""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketAttribute

from mechagym.events import NetworkProved
from mechagym.sandbox.allowlist import allows
from mechagym.sandbox.base import Box, ExecOptions, NetworkPolicy
from mechagym.sandbox.egress import INWARD
from mechagym.sandbox.escapes import Line, escape_table

__all__ = ["Line", "escape_table", "prove_network"]

METADATA = "169.254.169.254:80"
OUTSIDE = "1.1.1.1:443"
NOT_LISTED = "not-listed.invalid:443"
_PROBE_S = 30.0

_REACH = r"""
reach() {
  if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' "$@"
  elif command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$@"
  elif command -v perl >/dev/null 2>&1; then
    perl -MIO::Socket::INET -e \
      'exit !IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 2)' "$@"
  elif command -v nc >/dev/null 2>&1; then nc -w 2 "$@" </dev/null
  else return 99
  fi
}
said() { case $1 in 0) echo open ;; 99) echo untested ;; *) echo closed ;; esac; }
for target in "$@"; do
  ( reach "${target%:*}" "${target##*:}" >/dev/null 2>&1; echo "$target $(said $?)" ) &
done
resolve() {
  if command -v getent; then timeout 4 getent hosts example.com
  elif command -v python3; then
    timeout 4 python3 -c 'import socket; socket.getaddrinfo("example.com", 80)'
  elif command -v nslookup; then timeout 4 nslookup example.com
  else return 99
  fi
}
( resolve >/dev/null 2>&1; echo "dns $(said $?)" ) &
wait
"""
# a proxy answers CONNECT with a status: 200 it went through, 502 it would have, 403 it may not
_ASK_PROXY = r"""
proxy=${HTTPS_PROXY:-${https_proxy:-}}; proxy=${proxy#*://}; proxy=${proxy%/}; proxy=${proxy##*@}
[ -n "$proxy" ] || { echo "no-proxy"; exit; }
command -v timeout >/dev/null || { echo untested; exit; }
ask() {
  if command -v bash >/dev/null; then
    timeout 20 bash -c 'exec 3<>"/dev/tcp/$0/$1"
      printf "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" "$2" "$2" >&3
      read -r line <&3; echo "$line"' "$@"
  elif command -v python3 >/dev/null; then
    timeout 20 python3 -c 'import socket, sys
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
link.sendall(f"CONNECT {sys.argv[3]} HTTP/1.1\r\nHost: {sys.argv[3]}\r\n\r\n".encode())
print(link.makefile().readline().strip())' "$@"
  elif command -v nc >/dev/null; then
    printf 'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n' "$3" "$3" |
      timeout 20 nc -w 10 "$1" "$2" | { read -r line; echo "$line"; }
  else echo untested
  fi
}
for target in "$@"; do
  answer=$(ask "${proxy%:*}" "${proxy##*:}" "$target" 2>/dev/null)
  echo "$target ${answer:-nothing}"
done
"""
_ROUTES = r"""
for file in /proc/net/route /proc/net/ipv6_route; do
  if [ -r "$file" ]; then
    while read -r line; do echo "$file $line"; done <"$file"
  fi
done
"""
_LOOPBACK = "lo"
_NO_TOOL = "not tested: the image has nothing to probe with"


async def prove_network(box: Box, policy: NetworkPolicy) -> list[NetworkProved]:
    """Try the policy from inside the box: what must be closed is, and what must be open is.

    Where the image has nothing to probe with, `detail` says "not tested": what must be closed did
    then not hold, unless no route leads out of the box; what may be open did.
    """
    if policy.mode == "public":
        return []
    proofs = await _proofs(box, policy)
    if all(proof.held for proof in proofs) or await _routed(box):
        return proofs
    return [_by_routes(proof) for proof in proofs]


def _by_routes(proof: NetworkProved) -> NetworkProved:
    """The proof in a box out of which no route leads."""
    if proof.held or proof.detail != _NO_TOOL:
        return proof
    return replace(proof, held=True, detail="no route leads out of the box")


async def _routed(box: Box) -> bool:
    """Whether an address other than the box's own could be reached; True where it is not said."""
    result = await box.exec(["sh", "-c", _ROUTES], ExecOptions(user="root", cwd="/", timeout_s=10))
    fields = [line.split() for line in result.text.splitlines()]
    heads = [words for words in fields if words[1:2] == ["Iface"]]
    old = [words[1] for words in fields if words[0] == "/proc/net/route" and words not in heads]
    new = [words[-1] for words in fields if words[0] == "/proc/net/ipv6_route"]
    return not heads or any(name != _LOOPBACK for name in (*old, *new))


async def _proofs(box: Box, policy: NetworkPolicy) -> list[NetworkProved]:
    names = {METADATA: "metadata address", OUTSIDE: "an address outside", "dns": "dns"}
    async with _host_listener() as (targets, accepted):
        wanted = [t for t in (METADATA, OUTSIDE, *targets) if not _named(policy, t)]
        answers = dict(await _ask(box, _REACH, wanted))
        proofs = [
            _proof(
                policy,
                f"{names.get(probe, 'a port of the host')} ({probe})",
                "closed",
                answers.get(probe, "untested"),
            )
            for probe in sorted((*wanted, "dns"))
        ]
        await anyio.sleep(0.05)  # until who has connected is also accepted
        if accepted:
            proofs.append(_proof(policy, "the host heard from the box", "closed", "open"))
    if policy.mode == "allowlist":
        proofs += await _prove_way_out(box, policy)
    return proofs


async def _prove_way_out(box: Box, policy: NetworkPolicy) -> list[NetworkProved]:
    """A listed host is let through by the proxy, another is not."""
    listed = [h for h in policy.allowed_hosts if not h.startswith("*") and "/" not in h][:1]
    wanted = [h if ":" in h else f"{h}:443" for h in listed]
    answers = dict(await _ask(box, _ASK_PROXY, [*wanted, NOT_LISTED]))
    proofs = []
    for target in [*wanted, NOT_LISTED]:
        answer = answers.get(target, "untested")
        let_through = any(status in answer for status in (" 200", " 502", INWARD))
        state = "untested" if answer == "untested" else "open" if let_through else "closed"
        expected = "closed" if target == NOT_LISTED else "open"
        proofs.append(_proof(policy, f"the proxy, for {target}", expected, state, answer))
    return proofs


def _proof(
    policy: NetworkPolicy, probe: str, expected: str, state: str, detail: str = ""
) -> NetworkProved:
    tested = state in ("open", "closed")
    return NetworkProved(
        policy=policy.mode,
        probe=probe,
        expected="open" if expected == "open" else "closed",
        held=state == expected or (not tested and expected == "open"),
        detail=detail or state if tested else _NO_TOOL,
    )


def _named(policy: NetworkPolicy, target: str) -> bool:
    """Whether an allow-list names the probed address itself."""
    host, _, port = target.rpartition(":")
    return policy.mode == "allowlist" and allows(policy, host, int(port))


async def _ask(box: Box, script: str, targets: list[str]) -> list[tuple[str, str]]:
    options = ExecOptions(user="root", cwd="/", timeout_s=_PROBE_S)
    result = await box.exec(["sh", "-c", script, "sh", *targets], options)
    lines = (line.partition(" ") for line in result.text.splitlines())
    return sorted((name, answer.strip()) for name, space, answer in lines if space)


@asynccontextmanager
async def _host_listener() -> AsyncIterator[tuple[list[str], list[str]]]:
    """A server on all addresses of this host: where it listens, and who has come."""
    accepted: list[str] = []

    async def handle(stream: ByteStream) -> None:
        accepted.append(str(stream.extra(SocketAttribute.remote_address)))  # noqa: S610
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="0.0.0.0")  # noqa: S104
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield [f"{address}:{port}" for address in _addresses()], accepted
        tasks.cancel_scope.cancel()


def _addresses() -> list[str]:
    """This host's own addresses beside loopback, at most four."""
    found: set[str] = set()
    if sys.platform == "linux":
        lines = Path("/proc/net/fib_trie").read_text(encoding="ascii").splitlines()
        for line, after in pairwise(lines):
            if "/32 host LOCAL" in after:
                found.add(line.rpartition(" ")[2])
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing, only asks which address it would use
            found.add(probe.getsockname()[0])
    return sorted(a for a in found if not a.startswith("127."))[:4]
