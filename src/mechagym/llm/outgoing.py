"""How calls leave this host: by which proxy, trusting whom. The environment is not looked at."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """`proxies` by scheme, `https` or `http`; `no_proxy` hosts as `NO_PROXY` writes them.

    `ca_file`: certificates that are trusted instead of the usual ones.
    """

    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: tuple[str, ...] = ()
    ca_file: Path | None = None

    def proxy_for(self, url: str) -> str | None:
        """The proxy to reach a URL by, if any."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if any(_covers(entry, host, parts.port) for entry in self.no_proxy):
            return None
        return self.proxies.get(parts.scheme)

    def trust(self) -> ssl.SSLContext | bool:
        """What to check certificates against, as HTTP clients take it for `verify`."""
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry names a host: `*`, the host itself, or a domain it lies under."""
    name, _, only = entry.strip().lower().partition(":")
    if only and only != str(port or ""):
        return False
    domain = name.removeprefix("*").removeprefix(".")
    return name == "*" or host == domain or (bool(domain) and host.endswith(f".{domain}"))
