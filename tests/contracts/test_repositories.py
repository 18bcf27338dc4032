"""What hosted, proxy and group repositories promise, for every format."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.contracts.requests import (
    FIRST,
    FORMATS,
    NONE,
    OTHER,
    WHEEL,
    archive,
    autoindex,
    blob,
    boxed,
    built,
    indexed,
    lay_index,
    lay_packument,
    simple,
    steady,
)
from tests.formats.cargo.artefacts import body as framed
from tests.formats.cargo.artefacts import told
from tests.formats.npm.artefacts import document, tarball
from tests.running import Running, running
from tests.upstreams import Upstream, playing

LIVES = "page_life = 1\nstale_for = 2\nnegative_life = 1\nretries = 0\nread_timeout = 3\nconnect_timeout = 2\n"
HEAD = NONE
FIXED = 'public_url = "https://packages.example/"\n'
"""Pages of npm hold addresses, which must not vary with the port of each run."""
ENDINGS = {"pypi": "tar.gz", "generic": "tar.gz", "npm": "tgz", "cargo": "crate"}
FOLDERS = {"pypi": "simple", "generic": "plain", "npm": "registry", "cargo": "index"}
Made = Callable[[str, str, str], bytes]
"""The file of a format, a project and a version."""


def repository(format: str, name: str, kind: str, more: str = "") -> str:
    return f'\n[[repositories]]\nformat = "{format}"\nname = "{name}"\nkind = "{kind}"\n{more}\n'


def proxy(format: str, name: str, upstream: Upstream, more: str = "") -> str:
    return repository(format, name, "proxy", f'upstream = "{upstream.url}{FOLDERS[format]}/"\n{more}')


def group(format: str, name: str, members: str, more: str = "") -> str:
    return repository(format, name, "group", f"members = {members.split()}\n{more}".replace("'", '"'))


def content(format: str, project: str, version: str) -> bytes:
    """What a version's file holds."""
    make = {"npm": tarball, "cargo": boxed}.get(format, archive)
    return make(project, spelled(format, version))


def large(format: str, project: str, version: str) -> bytes:
    return blob(f"{project} {version}", 30_000)


def at_upstream(format: str, project: str) -> str:
    """Where an upstream has a project's page."""
    if format == "cargo":
        return f"/index/{indexed(project)}"
    return f"/{FOLDERS[format]}/{project}{'' if format == 'npm' else '/'}"


def spelled(format: str, version: str) -> str:
    """A version as the format writes it."""
    return f"{version}.0" if format in ("npm", "cargo") else version


def lay(upstream: Upstream, listed: dict[str, list[str]], made: Made = content) -> None:
    """Projects with versions, for all formats."""
    for project, versions in listed.items():
        lay_packument(upstream, project, {f"{version}.0": made("npm", project, version) for version in versions})
        lay_index(upstream, project, {f"{version}.0": made("cargo", project, version) for version in versions})
        files = {f"{project}-{version}.tar.gz": made("pypi", project, version) for version in versions}
        upstream.put(f"/simple/{project}/", simple(project, files), content_type="text/html")
        upstream.put(f"/plain/{project}/", autoindex(project, list(files)), content_type="text/html")
        for name, body in files.items():
            upstream.put(f"/files/{name}", body)
            upstream.put(f"/plain/{project}/{name}", body)
    names = "".join(f'<a href="{project}/">{project}</a>\n' for project in listed)
    upstream.put("/simple/", names.encode(), content_type="text/html")
    upstream.put("/plain/", autoindex("/", [f"{project}/" for project in listed]), content_type="text/html")


def publish(server: Running, format: str, name: str, project: str, version: str, body: bytes | None = None) -> int:
    body = content(format, project, version) if body is None else body
    version = spelled(format, version)
    folder = f"{project}/" if format == "generic" else ""
    return server.put(f"/{format}/{name}/{folder}{project}-{version}.{ENDINGS[format]}", body).status


def page(format: str, name: str, project: str) -> str:
    """A project's page; for an empty name what lists projects, where a format has that."""
    if format == "cargo":
        return f"/cargo/{name}/{indexed(project) if project else 'api/v1/crates?per_page=100'}"
    slash = "/" if project and format != "npm" else ""
    return f"/{format}/{name}/{'simple/' if format == 'pypi' else ''}{project}{slash}"


def link(format: str, name: str, project: str, version: str, made: Made = content) -> str:
    if format == "cargo":
        return f"/cargo/{name}/api/v1/crates/{project}/{version}.0/download"
    if format == "npm":
        return f"/npm/{name}/{project}/-/{project}-{version}.0.tgz"
    file = f"{project}-{version}.tar.gz"
    if format == "generic":
        return f"/generic/{name}/{project}/{file}"
    return f"/pypi/{name}/files/{project}/{hashlib.sha256(made(format, project, version)).hexdigest()}/{file}"


def versions(server: Running, format: str, name: str, project: str) -> list[str]:
    """Versions that a page lists; the status as text when there is no page."""
    answer = server.ask(page(format, name, project))
    patterns = {"npm": rf"/{project}-([0-9.]+)\.0\.tgz\"", "cargo": r'"vers": ?"([0-9.]+)\.0"'}
    found = re.findall(patterns.get(format, rf">{project}-([0-9.]+)\.tar\.gz</a>"), answer.text)
    return found if answer.status == 200 else [str(answer.status)]


def until(check: Callable[[], bool], patience: float = 15) -> None:
    deadline = time.monotonic() + patience
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# Groups: who may give a name

DECISIONS = ("plain", "allowed", "denied", "owned", "turned", "nested", "deep")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Upstream, Upstream]]:
    with ExitStack() as stack:
        one, two = stack.enter_context(playing()), stack.enter_context(playing())
        lay(one, {"demo": ["1.0", "3.0"], "free": ["1.0"], "ours-x": ["1.0"], "both": ["1.0", "2.0"]})
        lay(two, {"both": ["2.0", "4.0"], "late": ["1.0"]})
        text = HEAD
        for format in FORMATS:
            named = "{}/*" if format == "generic" else "{}"
            text += repository(format, "a", "hosted") + repository(format, "b", "hosted")
            text += proxy(format, "one", one) + proxy(format, "two", two)
            text += proxy(format, "strict", one, rules("deny", named.format("demo"), named.format("free")))
            text += group(format, "plain", "a b one two")
            text += group(format, "allowed", "a b one two", rules("allow", named.format("demo")))
            text += group(format, "denied", "a b one two", rules("deny", named.format("demo"), named.format("free")))
            text += group(format, "owned", "a b one two", rules("owned", named.format("ours-*"), named.format("free")))
            text += group(format, "turned", "two one b a")
            text += group(format, "inner", "one b") + group(
                format, "nested", "inner a two", rules("owned", named.format("ours-*"))
            )
            text += group(format, "deep", "nested one")
            text += group(format, "remote", "one two") + group(format, "picky", "a b", 'publish_to = "b"')
        server = stack.enter_context(running(tmp_path_factory.mktemp("groups") / "var", config=text))
        for format in FORMATS:
            assert publish(server, format, "a", "demo", "2.0") == 201
            assert publish(server, format, "a", "mine", "1.0") == 201
            assert publish(server, format, "a", "twice", "1.0") == 201
            assert publish(server, format, "b", "twice", "5.0") == 201
        yield server, one, two


def rules(verdict: str, *patterns: str) -> str:
    return "rules = [" + ", ".join(f'{{ verdict = "{verdict}", pattern = "{each}" }}' for each in patterns) + "]"


WANTED = {
    "plain": {"demo": "2.0", "free": "1.0", "mine": "1.0", "both": "1.0 2.0 4.0", "twice": "1.0 5.0", "ours-x": "1.0"},
    "allowed": {"demo": "1.0 2.0 3.0", "free": "1.0"},
    "denied": {"demo": "404", "free": "404", "mine": "1.0"},
    "owned": {"demo": "2.0", "free": "404", "ours-x": "404", "late": "1.0"},
    "turned": {"demo": "2.0", "both": "1.0 2.0 4.0"},
    "nested": {"demo": "2.0", "ours-x": "404", "free": "1.0", "both": "1.0 2.0 4.0", "twice": "1.0 5.0"},
    "deep": {"demo": "2.0", "mine": "1.0", "late": "1.0", "both": "1.0 2.0 4.0"},
    "strict": {"demo": "404", "free": "404", "both": "1.0 2.0"},
    "remote": {"demo": "1.0 3.0", "late": "1.0", "nobody": "404"},
}


PATHS = {name: {"demo": "1.0 2.0 3.0"} for name in ("plain", "owned", "turned", "nested", "deep")}
"""Each path is a package of its own: what lies beside one in a folder is not kept by it."""


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", list(WANTED))
def test_a_group_lists_what_its_members_may_give(
    town: tuple[Running, Upstream, Upstream], format: str, name: str
) -> None:
    for project, wanted in (WANTED[name] | (PATHS.get(name, {}) if format == "generic" else {})).items():
        found = versions(town[0], format, name, project)
        # A folder of which nothing may be given is empty, or is not there.
        if not (format == "generic" and wanted == "404" and found == []):
            assert sorted(found) == wanted.split(), project


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", [*DECISIONS, "strict", "remote"])
def test_line_4_listing_and_download_decide_alike(
    town: tuple[Running, Upstream, Upstream], format: str, name: str
) -> None:
    server = town[0]
    for project in ("demo", "free", "ours-x", "both", "late", "mine", "twice"):
        listed = versions(server, format, name, project)
        for version in ("1.0", "2.0", "3.0", "4.0", "5.0"):
            answer = server.ask(link(format, name, project, version))
            if version in listed:
                wanted = content(format, project, version)
                assert (answer.status, answer.body) == (200, wanted), (project, version)
            else:
                assert answer.status == 404, (project, version)
            assert server.ask(link(format, name, project, version), method="HEAD").status == answer.status


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", DECISIONS)
def test_the_root_names_what_has_a_page(town: tuple[Running, Upstream, Upstream], format: str, name: str) -> None:
    projects = ("demo", "free", "both", "late", "mine", "twice")
    if format in ("npm", "cargo"):  # what an upstream has is named once it was asked for
        for project in projects:
            versions(town[0], format, name, project)
    answer = town[0].ask(page(format, name, ""))
    assert answer.status == 200
    for project in projects:
        if re.search(rf'>{project}/?<|"{project}":|"name":"{project}"', answer.text):
            assert town[0].ask(page(format, name, project)).status == 200, project
        else:
            assert versions(town[0], format, name, project) in (["404"], []), project


def test_line_4_sidecars_and_documents_follow_the_same_decision(tmp_path: Path) -> None:
    with playing() as upstream:
        wheel, other = built("demo", "1.0"), built("demo", "2.0")
        files = {WHEEL: wheel, "demo-2.0-py3-none-any.whl": other}
        upstream.put("/simple/demo/", simple("demo", files), content_type="text/html")
        for name, body in files.items():
            upstream.put(f"/files/{name}", body)
        shut = rules("deny", "demo")
        text = HEAD + proxy("pypi", "one", upstream) + group("pypi", "all", "local one")
        text += group("pypi", "shut", "one local", shut)
        with running(tmp_path / "var", config=text) as server:
            base = f"files/demo/{hashlib.sha256(other).hexdigest()}/demo-2.0-py3-none-any.whl"
            assert server.ask(f"/pypi/all/{base}").body == other
            assert server.ask(f"/pypi/all/{base}.metadata").status == 200
            for name in ("shut", "all"):
                if name == "all":
                    assert server.put(f"/pypi/local/{WHEEL}", wheel).status == 201
                for path in (base, f"{base}.metadata", "pypi/demo/2.0/json"):
                    assert server.ask(f"/pypi/{name}/{path}").status == 404, (name, path)
            assert server.ask(f"/pypi/one/{base}").body == other


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_kept_here_is_never_asked_of_upstreams(town: tuple[Running, Upstream, Upstream], format: str) -> None:
    server, one, two = town
    folder = FOLDERS[format]
    for project in ("ours-secret", "mine"):
        for upstream in (one, two):
            upstream.forget()
        assert server.ask(page(format, "owned", project)).status in (200, 404)
        assert server.ask(link(format, "owned", project, "9.0")).status == 404
        for upstream in (one, two):
            if format == "generic":
                assert project == "mine" or upstream.hits(f"/{folder}/{project}/{project}-9.0.tar.gz") == 0
            else:
                assert upstream.hits() == 0


def test_the_first_member_with_a_file_name_gives_it(tmp_path: Path) -> None:
    def text(order: str) -> str:
        return HEAD + "".join(repository("generic", name, "hosted") for name in "xy") + group("generic", "both", order)

    path = "/generic/both/f/file.bin"
    with running(tmp_path / "var", config=text("x y")) as server:
        for name, body in (("x", b"from x"), ("y", b"from the other")):
            assert server.put(f"/generic/{name}/f/file.bin", body).status == 201
        first = server.ask(path)
        assert first.body == b"from x"
        assert server.ask("/generic/both/f/?format=json").text.count('"size":6') == 1
    with running(tmp_path / "var", config=text("y x")) as server:
        assert server.ask(path).body == b"from the other"
        assert server.ask("/generic/both/f/?format=json").text.count('"size":14') == 1
        assert server.ask(path, headers={"If-None-Match": first.header("etag") or ""}).status == 200


def test_addresses_stay_when_members_are_reordered(tmp_path: Path) -> None:
    def text(order: str) -> str:
        return HEAD + "".join(repository("pypi", name, "hosted") for name in "xy") + group("pypi", "both", order)

    links: list[list[str]] = []
    for order in ("x y", "y x", "y"):
        with running(tmp_path / "var", config=text(order)) as server:
            if not links:
                assert publish(server, "pypi", "x", "demo", "1.0") == publish(server, "pypi", "y", "demo", "1.0") == 201
            links.append(re.findall(r'href="([^"#]+)', server.ask("/pypi/both/simple/demo/").text))
            assert server.ask(link("pypi", "both", "demo", "1.0")).status == 200
    assert links[0] == links[1] == links[2]


@pytest.mark.parametrize("format", FORMATS)
def test_line_3_a_member_that_is_closed_vanishes_from_pages_that_were_made(tmp_path: Path, format: str) -> None:
    shut = repository(format, "x", "hosted", "anonymous_read = false")
    ends = group(format, "all", "x")
    with running(tmp_path / "var", config=HEAD + repository(format, "x", "hosted") + ends) as server:
        assert publish(server, format, "x", "demo", "1.0") == 201
        assert versions(server, format, "all", "demo") == ["1.0"]
        assert "demo" in server.ask(page(format, "all", "")).text
    with running(tmp_path / "var", config=HEAD + shut + ends) as server:
        assert versions(server, format, "all", "demo") == ["404"]
        assert "demo" not in server.ask(page(format, "all", "")).text


# Publishing


@pytest.mark.parametrize("format", FORMATS)
def test_publishing_goes_to_the_hosted_member(town: tuple[Running, Upstream, Upstream], format: str) -> None:
    server = town[0]
    for name, target, project in (
        ("plain", "a", "pa"),
        ("picky", "b", "pb"),
        ("nested", "b", "pn"),
        ("deep", "b", "pd"),
    ):
        assert publish(server, format, name, project, "1.0") == 201
        assert versions(server, format, target, project) == versions(server, format, name, project) == ["1.0"]
        # A client of npm takes a second success for a second publish.
        assert publish(server, format, name, project, "1.0") == {"npm": 403}.get(format, 200)
    for name in ("one", "remote", "strict"):
        file = f"new-{spelled(format, '1.0')}.{ENDINGS[format]}"
        answer = server.put(f"/{format}/{name}/{file}", content(format, "new", "1.0"))
        assert answer.status == 405
        assert set((answer.header("allow") or "").split(", ")) >= {"GET", "HEAD"}


# Dead members


@pytest.mark.parametrize("format", FORMATS)
def test_a_dead_member_hides_nothing_silently(tmp_path: Path, format: str) -> None:
    with playing() as dead, playing() as alive:
        lay(dead, {"known": ["1.0"], "both": ["1.0"]})
        lay(alive, {"both": ["2.0"], "other": ["1.0"]})
        text = HEAD + LIVES + proxy(format, "dead", dead) + proxy(format, "alive", alive)
        text += group(format, "all", "dead alive") + group(format, "some", "dead alive", "partial = true")
        with running(tmp_path / "var", config=text) as server:
            assert versions(server, format, "all", "known") == ["1.0"]
            assert server.ask(link(format, "all", "known", "1.0")).status == 200
            dead.stop()
            time.sleep(1.2)
            assert versions(server, format, "all", "known") == ["1.0"]
            assert server.ask(link(format, "all", "known", "1.0")).body == content(format, "known", "1.0")
            for project in ("both", "other", "nobody"):
                answer = server.ask(page(format, "all", project))
                assert answer.status == 503, project
                assert int(answer.header("retry-after") or 0) > 0
                assert answer.header("cache-control") == "no-store"
            assert versions(server, format, "some", "other") == ["1.0"]
            assert server.ask(link(format, "some", "other", "1.0")).body == content(format, "other", "1.0")
            partial = server.ask(page(format, "some", "other"))
            assert "down" in (partial.header("warning") or "")
            assert server.ask(page(format, "some", "nobody")).status == 503
            assert server.ask(link(format, "some", "nobody", "1.0")).status == 503
            dead.resume()
            until(lambda: sorted(versions(server, format, "some", "both")) == ["1.0", "2.0"])
            until(lambda: sorted(versions(server, format, "all", "both")) == ["1.0", "2.0"])


# Freshness


@pytest.mark.parametrize("format", FORMATS)
def test_a_proxied_page_lives_then_is_refreshed(tmp_path: Path, format: str) -> None:
    with playing() as upstream:
        lay(upstream, {"demo": ["1.0"]})
        text = HEAD + LIVES.replace("page_life = 1", "page_life = 2") + proxy(format, "one", upstream)
        with running(tmp_path / "var", config=text) as server:
            for _ in range(5):
                assert versions(server, format, "one", "demo") == ["1.0"]
            assert upstream.hits(at_upstream(format, "demo")) == 1
            lay(upstream, {"demo": ["1.0", "2.0"]})
            for headers in ({"Cache-Control": "no-cache"}, {"Pragma": "no-cache"}, {"Cache-Control": "max-age=0"}):
                server.ask(page(format, "one", "demo"), headers=headers)
            assert upstream.hits(at_upstream(format, "demo")) == 1
            time.sleep(2.1)
            # Pages of cargo are confirmed before the answer, all others behind it.
            wanted = ["1.0", "2.0"] if format == "cargo" else ["1.0"]
            assert versions(server, format, "one", "demo") == wanted
            until(lambda: versions(server, format, "one", "demo") == ["1.0", "2.0"], 3)
            time.sleep(5)  # older than its life and the time it may be stale: now somebody waits for it
            lay(upstream, {"demo": ["1.0", "2.0", "3.0"]})
            assert versions(server, format, "one", "demo") == ["1.0", "2.0", "3.0"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_page_is_served_stale_when_the_upstream_fails_and_after_a_restart(tmp_path: Path, format: str) -> None:
    with playing() as upstream:
        lay(upstream, {"demo": ["1.0"]})
        text = HEAD + LIVES + FIXED + proxy(format, "one", upstream)
        with running(tmp_path / "var", config=text) as server:
            before = server.ask(page(format, "one", "demo"))
            assert server.ask(link(format, "one", "demo", "1.0")).status == 200
            before = server.ask(page(format, "one", "demo"))
            assert before.status == 200
        for fault in ({"status": 500}, {"html": True}, {"status": 403}, {"down": True}):
            upstream.fault(at_upstream(format, "demo"), **fault)
            with running(tmp_path / "var", config=text) as server:
                time.sleep(3.2)
                stale = server.ask(page(format, "one", "demo"))
                assert (stale.status, stale.body, stale.header("etag")) == (200, before.body, before.header("etag"))
                assert "Stale" in (stale.header("warning") or ""), fault
                assert server.ask(link(format, "one", "demo", "1.0")).body == content(format, "demo", "1.0")


@pytest.mark.parametrize("format", FORMATS)
def test_a_missing_name_is_remembered_shortly(tmp_path: Path, format: str) -> None:
    with playing() as upstream:
        lay(upstream, {"demo": ["1.0"]})
        text = HEAD + LIVES + proxy(format, "one", upstream) + group(format, "all", "local one")
        with running(tmp_path / "var", config=text) as server:
            for _ in range(4):
                for name in ("one", "all"):
                    assert versions(server, format, name, "late") == ["404"]
            assert upstream.hits(at_upstream(format, "late")) == 1
            lay(upstream, {"late": ["1.0"]})
            until(lambda: versions(server, format, "all", "late") == ["1.0"], 5)
            assert versions(server, format, "one", "late") == ["1.0"]


@pytest.mark.parametrize("format", FORMATS)
def test_an_upstream_that_forgets_takes_nothing_away(tmp_path: Path, format: str) -> None:
    with playing() as upstream:
        lay(upstream, {"demo": ["1.0"]})
        with running(tmp_path / "var", config=HEAD + LIVES + proxy(format, "one", upstream)) as server:
            assert server.ask(link(format, "one", "demo", "1.0")).status == 200
            assert versions(server, format, "one", "demo") == ["1.0"]
            upstream.remove(at_upstream(format, "demo"))
            upstream.remove("/files/demo-1.0.tar.gz")
            upstream.remove("/plain/demo/demo-1.0.tar.gz")
            upstream.remove("/registry/demo/-/demo-1.0.0.tgz")
            upstream.remove("/crates/demo/1.0.0/download")
            time.sleep(4)
            # cargo's index says what is there now (cargo.md 54); a file that is here stays with every format.
            assert versions(server, format, "one", "demo") == (["404"] if format == "cargo" else ["1.0"])
            assert server.ask(link(format, "one", "demo", "1.0")).body == content(format, "demo", "1.0")


# Pages are a projection of the rows


def _pages(server: Running, format: str) -> dict[str, tuple[int, bytes, list[tuple[str, str]]]]:
    found = {}
    for name in ("local", "main"):
        for project in ("", "demo", "more", "gone"):
            for accept in {FIRST[format], OTHER.get(format, FIRST[format])}:
                answer = server.ask(page(format, name, project), headers={"Accept": accept})
                kept = [pair for pair in steady(answer) if pair[0] != "last-modified"]
                found[f"{name}/{project}/{accept}"] = (answer.status, answer.body, kept)
    return found


VERBS: dict[str, list[Callable[[Running], int]]] = {
    "pypi": [
        lambda server: publish(server, "pypi", "local", "more", "1.0"),
        lambda server: publish(server, "pypi", "main", "demo", "2.0"),
        lambda server: server.put("/pypi/main/manage/demo/2.0/yank", b"broken").status,
        lambda server: (
            server.put("/pypi/local/manage/demo/status", b'{"status": "deprecated", "reason": "old"}').status
        ),
        lambda server: server.ask("/pypi/local/manage/demo/2.0/yank", method="DELETE", token=server.token).status,
        lambda server: server.ask("/pypi/main/manage/more/1.0", method="DELETE", token=server.token).status,
        lambda server: server.ask(link("pypi", "local", "gone", "1.0"), method="DELETE", token=server.token).status,
    ],
    "generic": [
        lambda server: publish(server, "generic", "local", "more", "1.0"),
        lambda server: publish(server, "generic", "main", "demo", "2.0"),
        lambda server: publish(server, "generic", "over", "demo", "1.0", b"other"),
        lambda server: server.ask(link("generic", "main", "more", "1.0"), method="DELETE", token=server.token).status,
        lambda server: server.ask(link("generic", "local", "gone", "1.0"), method="DELETE", token=server.token).status,
    ],
    "npm": [
        lambda server: publish(server, "npm", "local", "more", "1.0"),
        lambda server: publish(server, "npm", "main", "demo", "2.0"),
        lambda server: server.put("/npm/main/-/package/demo/dist-tags/next", b'"1.0.0"').status,
        lambda server: _send(server, "main", deprecated="use another one"),
        lambda server: _send(server, "local", maintainers=[{"name": "ann", "email": "ann@people.example"}]),
        lambda server: _send(server, "local", users={"admin": True}),
        lambda server: _removed(server, "main/demo/-/demo-2.0.0.tgz"),
        lambda server: _removed(server, "main/more"),
        lambda server: _removed(server, "local/gone"),
    ],
    "cargo": [
        lambda server: publish(server, "cargo", "local", "more", "1.0"),
        lambda server: (
            server.put("/cargo/main/api/v1/crates/new", framed(told("demo", "2.0.0"), boxed("demo", "2.0.0"))).status
        ),
        lambda server: _asked(server, "DELETE", "main/api/v1/crates/demo/1.0.0/yank"),
        lambda server: _asked(server, "PUT", "local/manage/demo/2.0.0/yank"),
        lambda server: _asked(server, "PUT", "local/api/v1/crates/demo/1.0.0/unyank"),
        lambda server: _asked(server, "DELETE", "main/manage/more/1.0.0"),
        lambda server: _asked(server, "DELETE", "local/manage/demo/2.0.0"),
        lambda server: _asked(server, "DELETE", "local/manage/gone/1.0.0"),
    ],
}


def _send(server: Running, name: str, **changes: object) -> int:
    """Send npm's demo back with a change."""
    found: dict[str, object] = {"_id": "demo", "name": "demo", **changes}
    if "deprecated" in changes:
        said = {version: document("demo", version)["versions"][version] for version in ("1.0.0", "2.0.0")}
        found["versions"] = {**said, "1.0.0": said["1.0.0"] | changes}
    return server.put(f"/npm/{name}/demo", json.dumps(found).encode()).status


def _removed(server: Running, path: str) -> int:
    return server.ask(f"/npm/{path}/-rev/1", method="DELETE", token=server.token).status


def _asked(server: Running, method: str, path: str) -> int:
    return server.ask(f"/cargo/{path}", method=method, body=b"", token=server.token).status


@pytest.mark.parametrize("format", FORMATS)
def test_after_any_verb_every_page_equals_a_fresh_assembly(tmp_path: Path, format: str) -> None:
    text = HEAD + FIXED + repository(format, "over", "hosted", "overwrite = true")
    seen = []
    with running(tmp_path / "var", config=text) as server:
        for project in ("demo", "gone"):
            assert publish(server, format, "local", project, "1.0") == 201
        publish(server, format, "over", "demo", "1.0")
        seen.append(_pages(server, format))
    for verb in VERBS[format]:
        with running(tmp_path / "var", config=text) as server:
            assert _pages(server, format) == seen[-1]
            assert verb(server) in (200, 201, 204), len(seen)
            seen.append(_pages(server, format))
        with closing(sqlite3.connect(tmp_path / "var" / "reliquary.db")) as database, database:
            database.execute("delete from pages")
    assert len({str(pages) for pages in seen}) >= len(VERBS[format])


# Bounds


def _stored(server: Running) -> set[str]:
    return {path.name for path in (server.data / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS)
def test_a_cache_keeps_its_limit_and_its_pins(tmp_path: Path, format: str) -> None:
    each = [f"{at}.0" for at in range(1, 9)]
    made = {version: large(format, "demo", version) for version in each}
    digests = {version: hashlib.sha256(body).hexdigest() for version, body in made.items()}
    pinned = hashlib.sha256(large(format, "kept", "1.0")).hexdigest()
    size = len(made["1.0"])
    limit = size * 5 + 10_000  # the pages count too
    pins = 'pins = ["kept/*"]' if format == "generic" else 'pins = ["kep*"]'
    with playing() as upstream:
        lay(upstream, {"demo": each, "kept": ["1.0"]}, large)
        text = HEAD + proxy(format, "one", upstream, f"cache_max_size = {limit}\n{pins}")
        with running(tmp_path / "var", config=text) as server:
            assert server.ask(link(format, "one", "kept", "1.0", large)).status == 200
            for version in each:
                answer = server.ask(link(format, "one", "demo", version, large))
                assert answer.body == made[version]
                assert server.ask(link(format, "one", "demo", "1.0", large)).status == 200  # used all the time
            until(lambda: digests["8.0"] in _stored(server))
            until(lambda: len(_stored(server) & set(digests.values())) < len(each))
            left = _stored(server)
            assert pinned in left
            assert digests["1.0"] in left
            assert digests["2.0"] not in left
            assert server.ask(link(format, "one", "demo", "2.0", large)).body == made["2.0"]
            assert upstream.hits(method="GET") >= len(each) + 2
