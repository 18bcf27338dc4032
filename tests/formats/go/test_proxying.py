"""Modules through a proxy and through groups: what upstreams do, and whose a name is.

Numbers in names are items of go.md, section 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from http.client import HTTPException

import pytest

from reliquary.formats.go import names, notes, records, tiles
from tests.contracts.requests import NONE
from tests.formats.cargo.conftest import together
from tests.formats.go.artefacts import gomod, h1, h1_of, module_zip
from tests.formats.go.conftest import get, latest, lay, listed, place, publish, told
from tests.running import Running, running
from tests.upstreams import Upstream, playing

FRESH = "page_life = 0\nnegative_life = 0\nretries = 0\nread_timeout = 2\nreserve = 0\n"
REPOSITORIES = """
[[repositories]]
format = "go"
name = "up"
kind = "proxy"
upstream = "{url}"

[[repositories]]
format = "go"
name = "second"
kind = "proxy"
upstream = "{other}"

[[repositories]]
format = "go"
name = "ordered"
kind = "proxy"
upstream = ["{url}", "{other}"]

[[repositories]]
format = "go"
name = "all"
kind = "group"
members = ["local", "up"]
rules = [
  {{ verdict = "owned", pattern = "secret.example.com/*" }},
  {{ verdict = "deny", pattern = "evil.example.com/*" }},
]

[[repositories]]
format = "go"
name = "both"
kind = "group"
members = ["up", "second"]

[[repositories]]
format = "go"
name = "merged"
kind = "group"
members = ["local", "up"]
rules = [{{ verdict = "allow", pattern = "shared.example.com/*" }}]
"""
DATABASE = "sums.example/log"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def second() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(upstream: Upstream, second: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Hosted ``local`` and the proxies ``up`` and ``second``, in groups."""
    config = NONE + FRESH + REPOSITORIES.format(url=upstream.url, other=second.url)
    with running(tmp_path_factory.mktemp("proxying") / "var", config=config) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("at", ["up", "all"])
@pytest.mark.parametrize("version", ["v1.0.0-M3", "v2.0.0+incompatible", "v1.0.1-0.20250101000000-0123456789ab"])
def test_1_34_files_are_the_upstream_s_and_are_fetched_once(
    server: Running, upstream: Upstream, at: str, version: str
) -> None:
    path = f"up.example.com/Files/{at}"
    made = lay(upstream, path, version)
    for _ in range(2):
        for ending in ("info", "mod", "zip"):
            answer = get(server, place(path, version, ending), at=at)
            assert answer.status == 200
            if ending == "zip":
                assert answer.body == made[version]
            assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    for ending in ("info", "mod", "zip"):
        assert upstream.hits("/" + place(path, version, ending)) == 1
    assert upstream.hits(f"/{names.escape(path)}/@v/list") == 0
    again = get(server, place(path, version), at=at, Range="bytes=0-3")
    assert (again.status, again.body) == (206, b"PK\x03\x04")


def test_a_mod_never_waits_for_its_zip(server: Running, upstream: Upstream) -> None:
    lay(upstream, "up.example.com/apart", "v1.0.0")
    upstream.remove("/" + place("up.example.com/apart", "v1.0.0"))
    assert get(server, place("up.example.com/apart", "v1.0.0", "mod"), at="all").status == 200
    assert get(server, place("up.example.com/apart", "v1.0.0", "info"), at="all").status == 200
    assert upstream.hits("/" + place("up.example.com/apart", "v1.0.0")) == 0


@pytest.mark.parametrize("at", ["up", "all"])
def test_12_41_lists_and_latest(server: Running, upstream: Upstream, at: str) -> None:
    path = f"up.example.com/listed/{at}"
    versions = [f"v1.{number}.0" for number in range(1200)]
    text = "".join(f"{version} 2025-01-01T00:00:00Z\n" for version in reversed(versions))
    lay(upstream, path, "v1.7.0", tags=text + "v1.3.1-0.20250101000000-0123456789ab\n", best="v1.1199.0")
    assert listed(server, path, at=at) == versions
    assert latest(server, path, at=at) == "v1.1199.0"
    assert get(server, f"{path}/@latest", at=at).body == told("v1.1199.0")


def test_11_an_empty_list_and_an_unknown_module(server: Running, upstream: Upstream) -> None:
    commit = "v0.0.0-20250101000000-0123456789ab"
    lay(upstream, "up.example.com/empty", commit, tags="")
    for at in ("up", "all"):
        assert listed(server, "up.example.com/empty", at=at) == []
        assert latest(server, "up.example.com/empty", at=at) == commit
        assert listed(server, "up.example.com/none", at=at) == ["404"]
        assert latest(server, "up.example.com/none", at=at) == "404"
        assert get(server, place("up.example.com/none", "v1.0.0", "info"), at=at).status == 404


def test_an_upstream_without_latest(server: Running, upstream: Upstream) -> None:
    lay(upstream, "up.example.com/plain", "v1.0.0", best="")
    assert (listed(server, "up.example.com/plain", at="all"), latest(server, "up.example.com/plain", at="all")) == (
        ["v1.0.0"],
        "404",
    )


def test_9_branches_are_asked_anew(server: Running, upstream: Upstream) -> None:
    path = "up.example.com/branch"
    first, later = "v0.0.0-20250101000000-0123456789ab", "v0.0.0-20250201000000-ba9876543210"
    lay(upstream, path, "v1.0.0")
    upstream.put(f"/{path}/@v/main.info", told(first), content_type="application/json")
    assert get(server, f"{path}/@v/main.info", at="all").body == told(first)
    upstream.put(f"/{path}/@v/main.info", told(later), content_type="application/json")
    answer = get(server, f"{path}/@v/main.info", at="all")
    assert (answer.body, answer.header("content-type")) == (told(later), "application/json")
    assert get(server, f"{path}/@v/other.info", at="all").status == 404
    upstream.remove(f"/{path}/@v/main.info")
    for at in ("all", "up", "all"):
        assert get(server, f"{path}/@v/main.info", at=at).status == 404
    upstream.put(f"/{path}/@v/main.info", told(later), content_type="application/json")
    for at in ("up", "all"):
        assert get(server, f"{path}/@v/main.info", at=at).body == told(later)


def test_17_what_comes_later_is_found_and_410_is_not_here(server: Running, upstream: Upstream) -> None:
    path = "up.example.com/later"
    for at in ("up", "all"):
        assert listed(server, path, at=at) == ["404"]
    lay(upstream, path, "v1.0.0")
    for at in ("up", "all"):
        assert listed(server, path, at=at) == ["v1.0.0"]
    lay(upstream, path, "v1.1.0", tags="v1.0.0\nv1.1.0\n")
    assert listed(server, path, at="all") == ["v1.0.0", "v1.1.0"]
    upstream.fault("/up.example.com/old/@v/list", status=410)
    assert listed(server, "up.example.com/old", at="all") == ["404"]


@pytest.mark.parametrize("at", ["up", "all"])
@pytest.mark.parametrize("asked", ["list", "latest", "branch", "info", "mod", "zip"])
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403}, {"down": True}, {"html": True}])
def test_17_18_trouble_is_never_an_answer(
    server: Running, upstream: Upstream, at: str, asked: str, fault: dict[str, object]
) -> None:
    path = f"up.example.com/trouble/{at}/{asked}/{'-'.join(fault)}{fault.get('status', '')}"
    files = {ending: place(path, "v1.0.0", ending) for ending in ("info", "mod", "zip")}
    pages = {"list": f"{path}/@v/list", "latest": f"{path}/@latest", "branch": f"{path}/@v/main.info"}
    address = {**files, **pages}[asked]
    upstream.fault(f"/{address}", **fault)
    answer = get(server, address, at=at)
    upstream.heal()
    assert (answer.status, answer.header("content-type")) == (503, "text/plain; charset=utf-8")
    assert 0 < answer.text.count("\n") <= 8
    assert answer.header("retry-after")
    lay(upstream, path, "v1.0.0")
    upstream.put(f"/{path}/@v/main.info", told("v1.0.0"))
    assert get(server, address, at=at).status == 200


def test_19_what_an_upstream_deletes_is_still_had(server: Running, upstream: Upstream) -> None:
    path = "up.example.com/deleted"
    lay(upstream, path, "v1.0.0", "v1.1.0")
    assert listed(server, path, at="all") == ["v1.0.0", "v1.1.0"]
    assert latest(server, path, at="all") == "v1.1.0"
    for ending in ("info", "mod", "zip"):
        assert get(server, place(path, "v1.1.0", ending), at="all").status == 200
    lay(upstream, path, "v1.0.0")
    for ending in ("info", "mod", "zip"):
        upstream.remove("/" + place(path, "v1.1.0", ending))
    assert listed(server, path, at="all") == ["v1.0.0", "v1.1.0"]
    assert latest(server, path, at="all") == "v1.1.0"
    for address in (f"/{path}/@v/list", f"/{path}/@latest"):
        upstream.remove(address)
    assert listed(server, path, at="all") == ["v1.0.0", "v1.1.0"]
    assert latest(server, path, at="all") == "v1.1.0"
    for ending in ("info", "mod", "zip"):
        assert get(server, place(path, "v1.1.0", ending), at="all").status == 200


@pytest.mark.parametrize(
    ("ending", "body"),
    [
        ("zip", module_zip("up.example.com/other", "v1.0.0")),
        ("zip", module_zip("up.example.com/wrong", "v1.0.0", files={"a.go": b"", "A.go": b""})),
        ("zip", b"PK and no more"),
        ("info", told("v1.0.1")),
        ("info", b'{"error": "busy"}'),
    ],
)
def test_what_came_and_is_wrong_is_not_kept(server: Running, upstream: Upstream, ending: str, body: bytes) -> None:
    path = "up.example.com/wrong"
    version = f"v1.0.0-{sha256(body).hexdigest()[:8]}x"
    lay(upstream, path, version)
    address = place(path, version, ending)
    upstream.put(f"/{address}", body)
    with pytest.raises(HTTPException):  # cut before the last byte
        get(server, address, at="up")
    assert get(server, address, at="up").status == 503
    assert listed(server, path, at="up") == [version]


def test_22_a_version_s_json_is_passed_on(server: Running, upstream: Upstream) -> None:
    path = "up.example.com/times"
    lay(upstream, path, "v1.0.0", "v1.1.0")
    odd = {"v1.0.0": told("v1.0.0", None), "v1.1.0": told("v1.1.0", "2025-01-01T01:02:03.123456789+02:00")}
    for version, body in odd.items():
        upstream.put("/" + place(path, version, "info"), body)
        assert get(server, place(path, version, "info"), at="all").body == body


def test_13_14_two_upstreams_in_a_group(server: Running, upstream: Upstream, second: Upstream) -> None:
    path = "up.example.com/union"
    lay(upstream, path, "v1.0.0", "v1.1.0")
    lay(second, path, "v1.1.0", "v1.10.0", files={"second.go": b"package second\n"})
    assert listed(server, path, at="both") == ["v1.0.0", "v1.1.0", "v1.10.0"]
    assert latest(server, path, at="both") == "v1.10.0"
    assert get(server, place(path, "v1.1.0"), at="both").body == module_zip(path, "v1.1.0")
    assert get(server, place(path, "v1.10.0", "mod"), at="both").status == 200
    second.stop()
    try:
        assert listed(server, path, at="both") == ["v1.0.0", "v1.1.0", "v1.10.0"]
        assert listed(server, "up.example.com/unknown", at="both") == ["503"]
        assert get(server, place(path, "v1.0.0", "mod"), at="both").status == 200
    finally:
        second.resume()


def test_a_list_of_upstreams_is_asked_in_order(server: Running, upstream: Upstream, second: Upstream) -> None:
    lay(second, "up.example.com/behind", "v1.0.0")
    assert listed(server, "up.example.com/behind", at="ordered") == ["v1.0.0"]
    assert get(server, place("up.example.com/behind", "v1.0.0"), at="ordered").status == 200
    upstream.fault("/up.example.com/behind/@latest", status=500)
    assert latest(server, "up.example.com/behind", at="ordered") == "503"
    upstream.heal()


def test_15_16_38_a_hosted_name_is_never_asked_outside(server: Running, upstream: Upstream) -> None:
    path = "private.example.com/Mine"
    lay(upstream, path, "v9.0.0")
    record = f"sumdb/{DATABASE}/lookup/{names.escape(path)}@v1.0.0"
    upstream.put(f"/{record}", b"should never be asked for")
    publish(server, path, to="all")
    upstream.forget()
    assert (listed(server, path, at="all"), latest(server, path, at="all")) == (["v1.0.0"], "v1.0.0")
    for address in (place(path, "v9.0.0", "info"), place(path, "v9.0.0"), record, f"{names.escape(path)}/@v/main.info"):
        assert get(server, address, at="all").status == 404, address
    assert upstream.hits() == 0


def test_15_a_private_pattern_never_leaves(server: Running, upstream: Upstream) -> None:
    path = "secret.example.com/not/yet"
    lay(upstream, path, "v9.0.0")
    upstream.forget()
    asked = [f"{path}/@v/list", f"{path}/@latest", f"{path}/@v/main.info", place(path, "v9.0.0", "mod")]
    for address in (*asked, f"sumdb/{DATABASE}/lookup/{path}@v9.0.0"):
        assert get(server, address, at="all").status == 404, address
        assert get(server, address.replace("secret.", "evil."), at="all").status == 404
    assert upstream.hits() == 0


def test_16_a_rule_opens_a_name_to_both(server: Running, upstream: Upstream) -> None:
    path = "shared.example.com/x"
    lay(upstream, path, "v1.1.0", "v1.2.0")
    publish(server, path, "v1.1.0", to="merged", files={"own.go": b"package own\n"})
    publish(server, path, "v1.3.0", to="merged")
    assert listed(server, path, at="merged") == ["v1.1.0", "v1.2.0", "v1.3.0"]
    assert latest(server, path, at="merged") == "v1.3.0"
    own = module_zip(path, "v1.1.0", files={"own.go": b"package own\n"})
    assert get(server, place(path, "v1.1.0"), at="merged").body == own
    assert get(server, place(path, "v1.2.0"), at="merged").status == 200


def test_33_many_ask_at_once(server: Running, upstream: Upstream) -> None:
    path = "up.example.com/crowd"
    made = lay(upstream, path, "v1.0.0", files={"large.bin": bytes(300_000)}, stored=True)
    upstream.fault("/" + place(path, "v1.0.0"), drip=400_000)
    answers = together(*[lambda: get(server, place(path, "v1.0.0"), at="all")] * 6)
    assert {answer.body for answer in answers} == {made["v1.0.0"]}
    assert upstream.hits("/" + place(path, "v1.0.0")) == 1
    upstream.heal()


def test_36_37_a_checksum_database_is_relayed(server: Running, upstream: Upstream) -> None:
    path, root = "up.example.com/Summed", f"sumdb/{DATABASE}"
    text = records.record(path, "v1.0.0", h1(module_zip(path)), h1_of({"go.mod": gomod(path)}))
    edge, made = tiles.append(0, (), [tiles.leaf(text)])
    signer = notes.Signer.make(DATABASE, bytes(32))
    head = notes.sign(notes.head_text(notes.Head(1, tiles.root(edge))), signer)
    laid = {
        f"{root}/supported": b"",
        f"{root}/latest": head,
        f"{root}/lookup/{names.escape(path)}@v1.0.0": records.answer(0, text, head),
        f"{root}/tile/8/data/000.p/1": records.data_tile([text]),
        **{f"{root}/{tile.path}": body for tile, body in made.items()},
    }
    for address, body in laid.items():
        assert get(server, address, at="all").status == 404
        upstream.put(f"/{address}", body, content_type="text/plain; charset=UTF-8")
    for at in ("up", "all"):
        for address, body in laid.items():
            found = get(server, address, at=at)
            assert (found.status, found.body) == (200, body), address
    upstream.forget()
    upstream.stop()
    try:
        for address, body in laid.items():
            assert get(server, address, at="all").body == body, address
        assert get(server, f"{root}/lookup/{names.escape(path)}@v1.0.1", at="all").status == 503
    finally:
        upstream.resume()
    assert get(server, f"{root}/lookup/{names.escape(path)}@v1.0.1", at="all").status == 404
    assert get(server, "sumdb/unknown.example/supported", at="all").status == 404
    assert get(server, f"{root}/supported", at="local").status == 404


def test_a_record_of_something_else_is_not_kept(server: Running, upstream: Upstream) -> None:
    text = records.record("up.example.com/elsewhere", "v1.0.0", h1(module_zip()), h1_of({"go.mod": b""}))
    address = f"sumdb/{DATABASE}/lookup/up.example.com/asked@v1.0.0"
    upstream.put(f"/{address}", records.answer(0, text, b"no note\n"))
    with pytest.raises(HTTPException):
        get(server, address, at="up")
    assert get(server, address, at="up").status == 503


def test_without_an_upstream_only_what_is_here_is_here(server: Running) -> None:
    for address in ("up.example.com/x/@v/list", place("up.example.com/x", "v1.0.0"), "sumdb/sums.example/supported"):
        assert get(server, address, at="main").status == 404
