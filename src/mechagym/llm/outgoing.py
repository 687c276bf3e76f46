"""How calls leave this host: by which proxy, trusting whom. The environment is not looked at."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from mechagym.errors import ConfigError

CONNECT_S = 5.0
_SPOKEN = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """`proxies` by scheme, `https` or `http`, perhaps with a password; `no_proxy` hosts as
    `NO_PROXY` writes them. This host itself is never reached by a proxy.

    `ca_file`: certificates that are trusted instead of the usual ones.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca_file: Path | None = None

    def check(self, url: str) -> None:
        """See that a client for this URL can be made. Raises ConfigError."""
        self.proxy_for(url)
        self.trust()

    def proxy_for(self, url: str) -> str | None:
        """The proxy to reach a URL by, if any. Raises ConfigError for one of an unknown kind."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxy = self.proxies.get(parts.scheme)
        if proxy is None or _is_here(host):
            return None
        if any(_covers(entry, host, parts.port) for entry in self.no_proxy):
            return None
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        if (scheme := urlsplit(proxy).scheme) not in _SPOKEN:
            raise ConfigError(
                f"models cannot be reached by a proxy of the kind {scheme}://",
                remedy=f"name an HTTP proxy in {parts.scheme.upper()}_PROXY, or {host} in NO_PROXY",
                reason="proxy_kind",
            )
        return proxy

    def trust(self) -> ssl.SSLContext | bool:
        """What to check certificates against, as HTTP clients take it for `verify`.

        Raises ConfigError where the file cannot be read or holds no certificates.
        """
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"llm.ca_file {self.ca_file}: no certificates can be read from it: {error}",
                reason="ca_file",
            ) from error


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry names a host: `*`, the host itself, a domain it lies under, or a network.

    It may end with `:PORT`; an address of version 6 is then in brackets.
    """
    name = entry.strip().lower()
    if name.count(":") == 1 or "]:" in name:
        name, _, only = name.rpartition(":")
        if only != str(port or ""):
            return False
    try:
        return ip_address(host) in ip_network(name.strip("[]"), strict=False)
    except ValueError:  # one of them is a name
        domain = name.removeprefix("*").removeprefix(".")
        return name == "*" or host == domain or (bool(domain) and host.endswith(f".{domain}"))
