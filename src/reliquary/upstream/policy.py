"""What an upstream may cost and where connections may go: values without behaviour of their own."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """How patient Reliquary is with one upstream.

    Args:
        connect_timeout: seconds for name lookup, connection and TLS, each.
        read_timeout: seconds an upstream may stay silent.
        pool_timeout: seconds a request waits for a free connection.
        minimum_rate: bytes per second that a body must reach over ``rate_window`` seconds.
        rate_window: seconds of waiting after which the rate is judged.
        retries: further attempts after a passing failure.
        retry_budget: retries that may be spent in a row; ten good answers earn one back.
        backoff: seconds before the first retry, doubled for each further one, with jitter.
        max_redirects: hops that are followed.
        max_connections: connections to all hosts of the upstream together.
        max_ratio: how many times larger than its packed form a document may be.
        failures: consecutive failures of a host that open its breaker.
        cooldown: seconds a breaker stays open the first time; doubles with each failed probe.
        longest_cooldown: seconds it stays open at most.
        longest_wait: seconds of a Retry-After that are honoured at most.
        private_addresses: whether private and loopback addresses may be dialled anyway.
        forbidden_is_missing: whether 403 means that the thing is not there (object stores).
        user_agent: the User-Agent that is sent.
        answer_headers: further answer headers to let through, names in lower case.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    pool_timeout: float = 30.0
    minimum_rate: int = 1024
    rate_window: float = 30.0
    retries: int = 2
    retry_budget: int = 10
    backoff: float = 0.2
    max_redirects: int = 5
    max_connections: int = 64
    max_ratio: int = 200
    failures: int = 5
    cooldown: float = 2.0
    longest_cooldown: float = 60.0
    longest_wait: float = 600.0
    private_addresses: bool = False
    forbidden_is_missing: bool = False
    user_agent: str = "reliquary"
    answer_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How this machine reaches the network.

    Args:
        proxies: URL scheme (``http``, ``https``) to the proxy's URL, credentials included; never shown.
        no_proxy: hosts, domains, addresses or networks that are dialled directly.
        ca: a file or folder of certificate authorities, or None for the system's.
    """

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca: Path | None = None

    def proxy(self, scheme: str, host: str, port: int) -> str | None:
        """The proxy's URL for an address, or None when it is dialled directly.

        Loopback is never asked of a proxy: there it would mean another machine.
        """
        found = self.proxies.get(scheme)
        if found is None or loopback(host) or any(covers(entry, host, port) for entry in self.no_proxy):
            return None
        return found

    def tls(self) -> ssl.SSLContext:
        """A context that checks names and certificates. Raises OSError when ``ca`` cannot be read."""
        if self.ca is None:
            return ssl.create_default_context()
        if self.ca.is_dir():
            return ssl.create_default_context(capath=str(self.ca))
        return ssl.create_default_context(cafile=str(self.ca))


def loopback(host: str) -> bool:
    """Whether a host is this machine by its spelling."""
    name = host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def covers(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY names the host: ``*``, a domain, ``host:port``, an address, a network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    name, _, named_port = entry.lower().rpartition(":") if entry.count(":") == 1 else (entry.lower(), "", "")
    if named_port and named_port != str(port):
        return False
    name, asked = name.lstrip("*").strip("."), host.lower().rstrip(".")
    return bool(name) and (asked == name or asked.endswith(f".{name}"))
