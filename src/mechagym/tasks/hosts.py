"""What an `allowed_hosts` list may hold: names, `*.suffix`, addresses, CIDR ranges; never URLs."""

import re
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_ALLOWED = "must be a host name, *.suffix, an address or a CIDR range; no URL, port or path"


def allowed_host(value: Any) -> Any:
    """Return the entry in its plain form. Raises ValueError that says what is allowed."""
    if not isinstance(value, str):
        return value
    host = value.strip().lower().rstrip(".")
    with suppress(ValueError):
        return ip_address(host).compressed
    if "/" in host:
        with suppress(ValueError):
            return ip_network(host).compressed
    elif len(host) <= 253 and _NAME.fullmatch(host):
        return host
    raise ValueError(_ALLOWED)
