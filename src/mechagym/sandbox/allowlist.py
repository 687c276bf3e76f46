"""What an allow-list allows: pure, over names, addresses and ports.

An entry is `name`, `*.suffix` (what is below it, not itself), an address or a CIDR; ports 80 and
443, or the one port of `entry:port`. A name never opens the way to an address that is not public
(loopback, private, link-local, metadata): only an entry that names the address does.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from mechagym.errors import ConfigError
from mechagym.sandbox.base import NetworkPolicy

Address = IPv4Address | IPv6Address
PORTS = frozenset({80, 443})
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*")
_PORTED = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d{1,5}))?")
_NAT64 = ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ip_network("2002::/16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an allow-list, read. Either `name` or `network`."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    ports: frozenset[int] = PORTS

    def names(self, host: str) -> bool:
        """Whether it is about this name."""
        if self.name.startswith("*."):
            return host.endswith(self.name[1:]) and host != self.name[2:]
        return bool(self.name) and host == self.name

    def holds(self, address: Address) -> bool:
        """Whether it names this address."""
        return self.network is not None and address in self.network


def read_entry(text: str) -> Entry:
    """Read an entry. Raises ConfigError."""
    text = text.strip().lower()
    match = _PORTED.fullmatch(text)
    host, port = text, None
    if match:
        host, port = match["six"] or match["host"], match["port"]
    ports = frozenset({int(port)}) if port else PORTS
    try:
        return Entry(network=ip_network(host, strict=False), ports=ports)
    except ValueError:
        pass
    host = host.rstrip(".")
    if not _NAME.fullmatch(host.removeprefix("*.")) or "/" in host:
        raise ConfigError(
            f"allowed host {text!r} is no name, *.suffix, address or CIDR",
            remedy="Write it without scheme and path, as in `pypi.org` or `10.0.0.0/8:5432`.",
        )
    return Entry(name=host, ports=ports)


def allows(policy: NetworkPolicy, host: str, port: int) -> bool:
    """Whether a connection to this name or address may be tried."""
    if policy.mode != "allowlist":
        return policy.mode == "public"
    entries = _entries(policy, port)
    address = literal(host)
    if address is not None:
        return any(entry.holds(address) for entry in entries)
    name = host.lower().rstrip(".")
    return bool(_NAME.fullmatch(name)) and any(entry.names(name) for entry in entries)


def reachable(policy: NetworkPolicy, address: Address, port: int) -> bool:
    """Whether an allowed name may lead to this address: it is public, or an entry names it."""
    address = _plain(address)
    return is_public(address) or any(entry.holds(address) for entry in _entries(policy, port))


def literal(host: str) -> Address | None:
    """The address that a host is written as, or None for a name."""
    try:
        return _plain(ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether it is out in the world, whatever it is wrapped in."""
    address = _plain(address)
    if isinstance(address, IPv6Address) and address in _SIX_TO_FOUR:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _plain(address: Address) -> Address:
    """Unwrap what stands for a version 4 address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _entries(policy: NetworkPolicy, port: int) -> Iterable[Entry]:
    return [e for e in map(read_entry, policy.allowed_hosts) if port in e.ports]
