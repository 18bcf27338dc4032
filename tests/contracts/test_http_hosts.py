"""Host and X-Forwarded-*: who is believed, and what links are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.contracts.requests import NONE, archive, boxed, indexed, packed
from tests.running import Running, running

FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "host=evil.example;proto=https",
}
SOURCE = "/pypi/local/packages/source/d/demo/demo-1.0.tar.gz"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("plain") / "var", config=NONE) as server:
        server.put("/pypi/local/demo-1.0.tar.gz", archive("demo"))
        server.put("/npm/local/demo-1.0.0.tgz", packed("demo"))
        server.put("/cargo/local/demo-1.0.0.crate", boxed("demo"))
        yield server


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    more = 'trusted_proxies = ["127.0.0.0/8"]\nallowed_hosts = ["packages.example", "127.0.0.1"]\n'
    with running(tmp_path_factory.mktemp("behind") / "var", config=NONE + more) as server:
        server.put("/pypi/local/demo-1.0.tar.gz", archive("demo"))
        server.put("/npm/local/demo-1.0.0.tgz", packed("demo"))
        server.put("/cargo/local/demo-1.0.0.crate", boxed("demo"))
        yield server


def tarball_of(server: Running, headers: Mapping[str, str], name: str = "local") -> str:
    """The address of a tarball as npm's packument gives it."""
    found = json.loads(server.ask(f"/npm/{name}/demo", headers=headers).body)
    return str(found["versions"]["1.0.0"]["dist"]["tarball"])


def test_packuments_point_to_the_host_they_were_asked_at(plain: Running, behind: Running) -> None:
    """npm.md 48, 49: never to a host that a client merely names in a header that counts for proxies."""
    rest = "npm/local/demo/-/demo-1.0.0.tgz"
    for host in (f"127.0.0.1:{plain.port}", "one.example", "two.example:8080", "ONE.example", "[::1]:8080"):
        assert tarball_of(plain, {"Host": host, **FORGED}).lower() == f"http://{host}/{rest}".lower()
    told = {"X-Forwarded-Host": "packages.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/deep/"}
    assert tarball_of(behind, told) == f"https://packages.example/deep/{rest}"


@pytest.mark.parametrize("name", ["local", "main"])
def test_cargo_finds_archives_at_the_host_it_asked(plain: Running, behind: Running, name: str) -> None:
    """cargo.md, section 3: config.json has the only addresses; index files are the same at every host."""
    told = {"X-Forwarded-Host": "packages.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/deep/"}
    bases = [(plain, {"Host": host, **FORGED}, f"http://{host}/") for host in ("one.example", "two.example:8080")]
    for server, headers, base in [*bases, (behind, told, "https://packages.example/deep/")]:
        found = json.loads(server.ask(f"/cargo/{name}/config.json", headers=headers).body)
        assert found["dl"] == f"{base}cargo/{name}/api/v1/crates"
        assert found["api"] == f"{base}cargo/{name}"
    pages = [plain.ask(f"/cargo/{name}/{indexed('demo')}", headers=headers) for _, headers, _ in bases]
    assert pages[0].status == 200 and b"example" not in pages[0].body
    assert (pages[0].header("etag"), pages[0].body) == (pages[1].header("etag"), pages[1].body)


@pytest.mark.parametrize("name", ["local", "main"])
def test_each_host_has_validators_of_its_own(plain: Running, name: str) -> None:
    """npm.md 15, 49: what one host's client holds is confirmed to nobody at another one."""
    seen = {}
    for host in ("one.example", "two.example", "one.example:8080"):
        answer = plain.ask(f"/npm/{name}/demo", headers={"Host": host})
        seen[host] = answer.header("etag") or ""
        assert not seen[host].startswith("W/")
    assert len(set(seen.values())) == 3
    for host in seen:
        for other, etag in seen.items():
            answer = plain.ask(f"/npm/{name}/demo", headers={"Host": host, "If-None-Match": etag})
            assert answer.status == (304 if host == other else 200)


def test_nobody_is_trusted_by_default(plain: Running) -> None:
    link = plain.ask(SOURCE, headers=FORGED).header("location") or ""
    assert link.startswith(f"http://127.0.0.1:{plain.port}/pypi/local/files/demo/")
    assert plain.ask("/pypi/local/simple", headers=FORGED).header("location") == "/pypi/local/simple/"
    for path in ("/", "/pypi/local/simple/demo/"):
        assert "evil" not in plain.ask(path, headers=FORGED).text


def test_a_trusted_proxy_is_believed(behind: Running) -> None:
    told = {"X-Forwarded-Host": "packages.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/deep/"}
    link = behind.ask(SOURCE, headers=told).header("location") or ""
    assert link.startswith("https://packages.example/deep/pypi/local/files/demo/")
    moved = behind.ask("/pypi/local/simple?x=y", headers=told)
    assert moved.header("location") == "/deep/pypi/local/simple/?x=y"
    assert "https://packages.example/deep/pypi/main/simple/" in behind.ask("/", headers=told).text


def test_even_a_trusted_proxy_cannot_name_a_host_that_is_not_served(behind: Running) -> None:
    for headers in (
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "packages.example, evil.example"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "X-Forwarded-Host": ""},
    ):
        for path in (SOURCE, "/pypi/local/simple/", "/"):
            assert behind.ask(path, headers=headers).status == 400, headers


def test_the_last_of_several_forwarded_hosts_counts(behind: Running) -> None:
    told = {"X-Forwarded-Host": "evil.example, packages.example"}
    assert "//packages.example/" in (behind.ask(SOURCE, headers=told).header("location") or "")


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", '/a"><b', "evil", "/%2e%2e", "/a/../b?c"])
def test_odd_prefixes_are_ignored(behind: Running, prefix: str) -> None:
    answer = behind.ask("/pypi/local/simple", headers={"X-Forwarded-Prefix": prefix})
    assert (answer.status, answer.header("location")) == (301, "/pypi/local/simple/")


@pytest.mark.parametrize("host", ["", "a b", "evil.example/x", "x@y", "a,b", "[::1", "a:b", "x:99999999", "<b>"])
def test_a_host_that_is_none_is_400(plain: Running, host: str) -> None:
    for path in ("/pypi/main/simple/", "/generic/main/", "/"):
        assert plain.ask(path, headers={"Host": host}).status == 400


def test_a_port_does_not_matter_to_the_list_of_hosts(behind: Running) -> None:
    for host in ("packages.example", "packages.example:443", "PACKAGES.example:8080"):
        assert behind.ask("/pypi/local/simple/", headers={"Host": host}).status == 200


def test_the_public_url_wins(tmp_path: Path) -> None:
    more = 'public_url = "https://packages.example/deep/"\ntrusted_proxies = ["127.0.0.1"]\n'
    with running(tmp_path / "var", config=NONE + more) as server:
        server.put("/pypi/local/demo-1.0.tar.gz", archive("demo"))
        link = server.ask(SOURCE, headers=FORGED).header("location") or ""
        assert link.startswith("https://packages.example/deep/pypi/local/files/demo/")
        assert server.ask("/pypi/local/simple", headers=FORGED).header("location") == "/deep/pypi/local/simple/"
        assert "evil" not in server.ask("/", headers=FORGED).text
        server.put("/npm/local/demo-1.0.0.tgz", packed("demo"))
        for name in ("local", "main"):
            wanted = f"https://packages.example/deep/npm/{name}/demo/-/demo-1.0.0.tgz"
            assert tarball_of(server, FORGED | {"Host": "elsewhere.example"}, name) == wanted
            told = server.ask(f"/cargo/{name}/config.json", headers=FORGED | {"Host": "elsewhere.example"})
            assert json.loads(told.body)["api"] == f"https://packages.example/deep/cargo/{name}"
            challenge = f'Cargo login_url="https://packages.example/deep/cargo/{name}/me"'
            refused = server.ask(f"/cargo/{name}/config.json", headers=FORGED | {"Authorization": "wrong"})
            assert (refused.header("www-authenticate") or "").startswith(challenge)
