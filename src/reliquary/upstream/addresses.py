"""Which addresses may be dialled: what an upstream's pages and redirects name is not trusted.

A guard is asked twice: for the spelling of a URL's host and port, and, where the connection is
made, for every address the name resolves to. The addresses it returns are the ones to dial, so
a name that resolves differently a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NoReturn, TypeAlias

from reliquary.errors import Unavailable
from reliquary.upstream.policy import loopback

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to numeric addresses, the preferred one first; raises OSError."""

NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_.])?", re.IGNORECASE)

BARRED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host": the kernel takes it for loopback
        "100.100.100.200/32",  # metadata services that do not use a link-local address
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "192.0.0.0/24",
        "::/96",  # compatible, mapped, 6to4 and Teredo forms hide another address
        "::ffff:0:0/96",
        "2002::/16",
        "2001::/32",
    )
)
PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"),
        # Networks for documentation and benchmarks: nobody's own, but what names resolve to behind a
        # transparent gateway.
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32"),
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Unavailable):
    """A URL leads to where Reliquary must not go; asking again will not help."""

    code = "address-refused"


class Zone(Enum):
    """How far away an address is."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    BARRED = "barred"


def zone(address: IPAddress) -> Zone:
    """Sort an address (the special-purpose registries of RFC 6890, and metadata services)."""
    if address.is_loopback:
        return Zone.LOOPBACK
    if any(address in network for network in BARRED if network.version == address.version):
        return Zone.BARRED
    if address in NAT64:
        return zone(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return Zone.BARRED
    if any(address in network for network in PRIVATE if network.version == address.version):
        return Zone.PRIVATE
    return Zone.PUBLIC if address.is_global and not address.is_reserved else Zone.BARRED


def literal(host: str) -> IPAddress | None:
    """The address a host spells in its normal form, None for a name; raises AddressRefused for other spellings
    (decimal, octal, hexadecimal, shortened, with a zone) and for what can be no name."""
    bare = host.rstrip(".")
    if "%" in bare:
        refuse(host)
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        if NUMERIC.fullmatch(bare.rpartition(".")[2]) or not NAME.fullmatch(bare):
            refuse(host)
        return None


def refuse(host: str) -> NoReturn:
    """Raise AddressRefused for a host."""
    raise AddressRefused(f"the address {host[:100]!r} may not be asked")


async def lookup(host: str, port: int) -> Sequence[str]:
    """The system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class Guard:
    """The rule for one upstream.

    What the upstream's own host resolves to when it is first looked up decides how far others may reach: a
    private upstream may name private hosts and any port; one on loopback may also name loopback. It is decided
    once, so that a public upstream's name cannot be turned inwards later.

    Args:
        host: the configured upstream's host.
        port: its port.
        resolve: looks names up.
        private: whether private and loopback addresses are allowed from the start.
        proxied: whether the upstream is asked through an outgoing proxy; its name may then mean nothing here.
    """

    def __init__(
        self, host: str, port: int, *, resolve: Resolve = lookup, private: bool = False, proxied: bool = False
    ) -> None:
        self._host = host
        self._port = port
        self._resolve = resolve
        self._private = private
        self._proxied = proxied
        self._home: frozenset[Zone] | None = None

    async def check(self, host: str, port: int) -> None:
        """Judge what a URL spells, before it is asked.

        Names are not resolved here; behind an outgoing proxy that is all that can be judged.

        Raises:
            AddressRefused: the spelling, the port or the literal address is not allowed.
        """
        address = literal(host)
        if host == self._host and port == self._port:
            return
        home = await self.home()
        inner = self._private or bool(home & {Zone.PRIVATE, Zone.LOOPBACK})
        if not 0 < port < 65536 or (not inner and port not in (80, 443, self._port)):
            raise AddressRefused(f"port {port} of {host[:100]} may not be asked")
        if address is not None:
            self._judge(host, address, home)
        elif loopback(host) and not self._allows(Zone.LOOPBACK, home):
            refuse(host)

    async def admit(self, host: str, port: int) -> list[str]:
        """Resolve a host and judge every address.

        Returns:
            The addresses to dial.

        Raises:
            AddressRefused: one of them is not allowed.
            OSError: the name does not resolve.
        """
        home = await self.home()
        addresses = await self._addresses(host, port)
        for address in addresses:
            self._judge(host, address, home)
        return [str(address) for address in addresses]

    async def home(self) -> frozenset[Zone]:
        """The zones of the configured host."""
        if self._home is None:
            address = literal(self._host)
            if address is not None:
                self._home = frozenset({zone(address)})
            elif self._proxied:
                self._home = frozenset({Zone.LOOPBACK if loopback(self._host) else Zone.PUBLIC})
            else:
                self._home = frozenset(map(zone, await self._addresses(self._host, self._port)))
        return self._home

    async def _addresses(self, host: str, port: int) -> list[IPAddress]:
        address = literal(host)
        if address is not None:
            return [address]
        found = [ipaddress.ip_address(text) for text in await self._resolve(host, port) if "%" not in text]
        if not found:
            raise OSError(f"{host} has no address")
        return list(dict.fromkeys(found))

    def _judge(self, host: str, address: IPAddress, home: frozenset[Zone]) -> None:
        where = zone(address)
        if not self._allows(where, home) and not (host == self._host and where in home):
            refuse(host)

    def _allows(self, where: Zone, home: frozenset[Zone]) -> bool:
        if where is Zone.PUBLIC:
            return True
        if where is Zone.PRIVATE:
            return self._private or bool(home & {Zone.PRIVATE, Zone.LOOPBACK})
        return where is Zone.LOOPBACK and (self._private or Zone.LOOPBACK in home)
