"""Which addresses may be dialled, and how outgoing proxies are chosen."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import pytest

from reliquary.upstream.addresses import AddressRefused, Guard, Zone, literal, zone
from reliquary.upstream.policy import Outgoing

pytestmark = pytest.mark.anyio


class Names:
    """A resolver that says what the test says."""

    def __init__(self, names: Mapping[str, list[str]]) -> None:
        self.names = dict(names)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if host not in self.names:
            raise OSError("no such host")
        return self.names[host]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("9.9.9.9", Zone.PUBLIC),
        ("2620:fe::9", Zone.PUBLIC),
        ("64:ff9b::909:909", Zone.PUBLIC),
        ("10.1.2.3", Zone.PRIVATE),
        ("172.31.0.1", Zone.PRIVATE),
        ("192.168.1.1", Zone.PRIVATE),
        ("100.64.0.1", Zone.PRIVATE),
        ("fd12::1", Zone.PRIVATE),
        ("64:ff9b::a01:203", Zone.PRIVATE),
        ("127.8.8.8", Zone.LOOPBACK),
        ("::1", Zone.LOOPBACK),
        ("64:ff9b::7f00:1", Zone.LOOPBACK),
        ("0.0.0.0", Zone.BARRED),
        ("0.1.2.3", Zone.BARRED),
        ("::", Zone.BARRED),
        ("169.254.169.254", Zone.BARRED),
        ("fe80::1", Zone.BARRED),
        ("fd00:ec2::254", Zone.BARRED),
        ("100.100.100.200", Zone.BARRED),
        ("168.63.129.16", Zone.BARRED),
        ("224.0.0.1", Zone.BARRED),
        ("ff02::1", Zone.BARRED),
        ("240.0.0.1", Zone.BARRED),
        ("255.255.255.255", Zone.BARRED),
        ("::ffff:9.9.9.9", Zone.BARRED),
        ("::127.0.0.1", Zone.BARRED),
        ("2002:7f00:1::", Zone.BARRED),
        ("2001:0:1::", Zone.BARRED),
    ],
)
def test_zones(text: str, where: Zone) -> None:
    assert zone(ipaddress.ip_address(text)) is where


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "1.2.3.4.5", "fe80::1%lo", "a b", ""]
)
def test_odd_spellings_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        literal(host)


def test_usual_spellings_pass() -> None:
    assert literal("index.example.") is None
    assert literal("10.0.0.1.") == ipaddress.ip_address("10.0.0.1")


async def admitted(guard: Guard, host: str, port: int = 443) -> bool:
    try:
        await guard.check(host, port)
        return bool(await guard.admit(host, port))
    except AddressRefused:
        return False


async def test_a_public_upstream_reaches_the_public_only() -> None:
    names = Names(
        {
            "index.example": ["9.9.9.9"],
            "files.example": ["2620:fe::9", "9.9.9.9"],
            "mixed.example": ["9.9.9.9", "10.0.0.1"],
            "inner.example": ["10.0.0.1"],
        }
    )
    guard = Guard("index.example", 8443, resolve=names)
    assert await admitted(guard, "index.example", 8443)
    assert await admitted(guard, "files.example") and await admitted(guard, "files.example", 8443)
    for host in ("mixed.example", "inner.example", "10.0.0.1", "127.0.0.1", "localhost"):
        assert not await admitted(guard, host)
    assert not await admitted(guard, "files.example", 6379)
    names.names["index.example"] = ["10.0.0.1"]
    assert not await admitted(guard, "index.example", 8443)


async def test_a_private_upstream_reaches_private_hosts() -> None:
    names = Names({"index.example": ["10.0.0.1"], "files.example": ["192.168.0.9"], "here.example": ["127.0.0.1"]})
    guard = Guard("index.example", 80, resolve=names)
    assert await admitted(guard, "files.example", 8081)
    assert not await admitted(guard, "here.example")
    assert not await admitted(guard, "169.254.169.254")
    free = Guard("index.example", 80, resolve=names, private=True)
    assert await admitted(free, "here.example", 9)


async def test_an_upstream_may_be_what_it_is() -> None:
    guard = Guard("169.254.10.10", 80)
    assert await admitted(guard, "169.254.10.10", 80)
    assert not await admitted(guard, "10.0.0.1", 80)


async def test_behind_a_proxy_no_name_is_looked_up() -> None:
    guard = Guard("index.example", 443, resolve=Names({}), proxied=True)
    await guard.check("files.example", 443)
    for host in ("10.0.0.1", "127.0.0.1", "metadata.localhost"):
        with pytest.raises(AddressRefused):
            await guard.check(host, 443)


@pytest.mark.parametrize(
    ("entry", "host", "direct"),
    [
        ("*", "a.example", True),
        (".corp.example", "x.corp.example", True),
        ("corp.example", "x.corp.example", True),
        ("corp.example", "notcorp.example", False),
        ("corp.example:8080", "corp.example", False),
        ("corp.example:443", "corp.example", True),
        ("10.0.0.0/8", "10.9.9.9", True),
        ("10.0.0.0/8", "11.9.9.9", False),
        ("", "a.example", False),
        ("unrelated.example", "127.0.0.1", True),
    ],
)
def test_no_proxy(entry: str, host: str, direct: bool) -> None:
    outgoing = Outgoing(proxies={"https": "http://proxy.example:3128"}, no_proxy=(entry,))
    assert (outgoing.proxy("https", host, 443) is None) is direct
    assert outgoing.proxy("http", host, 80) is None
