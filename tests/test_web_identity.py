"""Whom we believe on where we are."""

from __future__ import annotations

from typing import Any

import pytest

from reliquary.errors import Malformed
from reliquary.web.identity import Trust, check_host, origin, prefix

PROXY = Trust(proxies=("10.0.0.0/8", "::1"))
TOLD = {
    "host": "app:8080",
    "x-forwarded-host": "packages.example",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/deep/",
}


def scope(peer: str | None = "10.1.2.3", **more: Any) -> dict[str, Any]:
    return {"scheme": "http", "client": (peer, 5) if peer else None, **more}


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("10.9.9.9", True), ("::1", True), ("11.0.0.1", False), ("127.0.0.1", False), (None, False), ("unix:", False)],
)
def test_peers(peer: str | None, trusted: bool) -> None:
    assert PROXY.trusts(peer) is trusted
    assert not Trust().trusts(peer)
    wanted = "https://packages.example/deep/" if trusted else "http://app:8080/"
    assert origin(scope(peer), TOLD, PROXY) == wanted


def test_the_public_url_wins_over_everything() -> None:
    trust = Trust(("10.0.0.0/8",), (), "https://public.example/under/")
    assert origin(scope(), TOLD, trust) == "https://public.example/under/"
    assert prefix(scope(root_path="/root"), TOLD, trust) == "/under"


def test_a_mount_is_a_prefix() -> None:
    assert prefix(scope("1.1.1.1", root_path="/root/"), TOLD, PROXY) == "/root"
    assert origin(scope("1.1.1.1", root_path="/root"), {"host": "x"}, PROXY) == "http://x/root/"


@pytest.mark.parametrize("value", ["//evil.example", "/a b", "javascript:", "/a/<b>", "/a?b", "/a#b", "/a\r\nb", "a"])
def test_odd_prefixes_are_none(value: str) -> None:
    assert prefix(scope(), {"x-forwarded-prefix": value}, PROXY) == ""


@pytest.mark.parametrize("value", ["ftp", "javascript", "https, http", ""])
def test_odd_schemes_are_none(value: str) -> None:
    assert origin(scope(), {"host": "x", "x-forwarded-proto": value}, PROXY) == "http://x/"


def test_hosts_that_are_served() -> None:
    trust = Trust(hosts=("packages.example", "[::1]"))
    for host in ("packages.example", "PACKAGES.example", "packages.example:443", "[::1]:8080"):
        assert check_host(scope(), {"host": host}, trust) == host
    for host in ("packages.example.evil", "evil.example", "packages.example:x", "::1", "", "a@packages.example"):
        with pytest.raises(Malformed):
            check_host(scope(), {"host": host}, trust)


def test_a_forwarded_host_is_checked_like_any_other() -> None:
    trust = Trust(("10.0.0.0/8",), ("packages.example",))
    assert check_host(scope(), TOLD, trust) == "packages.example"
    with pytest.raises(Malformed):
        check_host(scope(), {**TOLD, "x-forwarded-host": "evil.example"}, trust)
    with pytest.raises(Malformed):
        check_host(scope("1.1.1.1"), TOLD, trust)
