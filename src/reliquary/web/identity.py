"""Where a client thinks we are: scheme, host and prefix, from trusted peers only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from reliquary.errors import Malformed

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we believe.

    Args:
        proxies: addresses and networks whose X-Forwarded-* headers count; empty: nobody.
        hosts: Host values that are served; empty: any well-formed one.
        public_url: absolute address that overrides all of it, or None.
    """

    proxies: Sequence[str] = ()
    hosts: Sequence[str] = ()
    public_url: str | None = None

    def trusts(self, peer: str | None) -> bool:
        """Whether the connection's other end is a trusted proxy."""
        if not self.proxies or not peer:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in ip_network(each, strict=False) for each in self.proxies)


def prefix(scope: Mapping[str, Any], headers: Mapping[str, str], trust: Trust) -> str:
    """The path under which clients find us, "" or "/reliquary"."""
    if trust.public_url is not None:
        return urlsplit(trust.public_url).path.rstrip("/")
    root = str(scope.get("root_path", "")).rstrip("/")
    given = headers.get("x-forwarded-prefix", "").rstrip("/")
    if given and trust.trusts(_peer(scope)) and _PREFIX.fullmatch(given):
        return given
    return root


def origin(scope: Mapping[str, Any], headers: Mapping[str, str], trust: Trust) -> str:
    """Absolute address of the server as this client addressed it, with a final slash.

    Raises:
        Malformed: the Host header is not a host, or not one that is served.
    """
    host = check_host(scope, headers, trust)
    if trust.public_url is not None:
        return trust.public_url.rstrip("/") + "/"
    scheme = str(scope.get("scheme", "http"))
    forwarded = headers.get("x-forwarded-proto", "").strip().lower()
    if forwarded in ("http", "https") and trust.trusts(_peer(scope)):
        scheme = forwarded
    # A standard port is not part of an origin, and npm compares addresses letter by letter.
    host = host.removesuffix(":443" if scheme == "https" else ":80")
    return f"{scheme}://{host}{prefix(scope, headers, trust)}/"


def check_host(scope: Mapping[str, Any], headers: Mapping[str, str], trust: Trust) -> str:
    """The host that the client addressed: what a trusted proxy says of it, else the Host header.
    Raises Malformed unless it is well-formed and served."""
    host = headers.get("host", "localhost")
    # The last of a list is the trusted proxy's own word; what stands before it may be the client's.
    forwarded = headers.get("x-forwarded-host", "").rpartition(",")[2].strip()
    if forwarded and trust.trusts(_peer(scope)):
        host = forwarded
    if not _HOST.fullmatch(host):
        raise Malformed("the Host header is not a host name")
    if trust.hosts and host.lower() not in trust.hosts and _name(host) not in trust.hosts:
        raise Malformed("this server does not answer for that Host")
    return host


def _name(host: str) -> str:
    return re.sub(r":[0-9]+$", "", host).lower()


def _peer(scope: Mapping[str, Any]) -> str | None:
    client = scope.get("client")
    return str(client[0]) if client else None
