"""Raw paths over HTTP: what is one name, what is refused, where a redirect leads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.requests import FORMATS, REFUSED_PATHS, Place, nothing_inside, places, steady, town
from tests.running import Answer, Running

PLACES = [pytest.param(each, id=f"{each.format}-{each.kind}") for each in places()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with town(tmp_path_factory.mktemp("town"), 'public_url = "https://packages.example/deep/"\n') as (running, _):
        yield running


def _refused(answer: Answer, *statuses: int) -> None:
    assert answer.status in statuses, answer.text
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-content-type-options") == "nosniff"
    assert nothing_inside(answer)


@pytest.mark.parametrize("where", PLACES)
def test_broken_paths_are_400(server: Running, where: Place) -> None:
    for path in REFUSED_PATHS:
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            sent = None if method in ("GET", "HEAD") else b"x"
            answer = server.ask(where.root + path, method=method, body=sent, token=server.token)
            _refused(answer, 400)


@pytest.mark.parametrize("where", PLACES)
def test_an_escape_is_decoded_once(server: Running, where: Place) -> None:
    for path in ("a%252fb", "%252e%252e/x", "%2525"):
        _refused(server.ask(f"{where.page}{path}"), 404)


@pytest.mark.parametrize("where", PLACES)
def test_every_spelling_of_a_file_is_the_same_file(server: Running, where: Place) -> None:
    assert server.ask(where.file).body == where.body
    plain = server.ask(where.file)
    for path in (
        where.file.replace(".tar", "%2Etar").replace(".tgz", "%2etgz").replace("/download", "/downl%6Fad"),
        where.file.replace("x.tar", "%78.tar").replace("demo", "d%65mo"),
    ):
        answer = server.ask(path)
        assert (answer.status, answer.body, steady(answer)) == (200, where.body, steady(plain))


def test_signs_in_paths(server: Running) -> None:
    root = "/generic/local/signs/"
    assert server.put(root + "a+b~c:d@e!f%20g%C3%A9%25.bin", b"signs").status == 201
    for path in ("a%2Bb%7Ec%3ad%40e%21f%20g%c3%a9%25.bin", "a+b~c:d@e!f%20g%C3%A9%25.bin"):
        assert server.ask(root + path).body == b"signs"
    assert server.ask(root + "a%20b~c:d@e!f%20g%C3%A9%25.bin").status == 404
    listing = server.ask(root).text
    assert 'href="./a%2Bb~c%3Ad%40e%21f%20g%C3%A9%25.bin"' in listing


def test_an_encoded_slash_is_the_slash_of_the_path(server: Running) -> None:
    assert server.put("/generic/local/deep%2Fpath/file", b"deep").status == 201
    assert server.ask("/generic/local/deep/path%2ffile").body == b"deep"
    for path in ("%2Fetc/passwd", "a%2f%2fb", "a/%2fb", "%2f"):
        _refused(server.put("/generic/local/" + path, b"x"), 400)


@pytest.mark.parametrize("where", PLACES)
def test_repository_names(server: Running, where: Place) -> None:
    plain = server.ask(where.page)
    _, format, name, rest = where.page.split("/", 3)
    encoded = f"%{ord(name[0]):02x}{name[1:]}"
    assert steady(server.ask(f"/{format}/{encoded}/{rest}")) == steady(plain)
    for other in (name.upper(), name.capitalize(), name + "%20", "%EF%BC%AD" + name[1:], f"x%2f{name}", f"{name}%2f"):
        _refused(server.ask(f"/{format}/{other}/{rest}"), 404)
    for broken in ("%00", "..", "%2e%2e", ".", "%ff", "%", f"{name}%5c"):
        _refused(server.ask(f"/{format}/{broken}/{rest}"), 400)
    for other in (f"/{format.upper()}/{name}/{rest}", f"//{format}/{name}/{rest}", f"/{format}//{name}/{rest}"):
        _refused(server.ask(other), 404)


def test_an_unknown_repository_is_404_for_every_method(server: Running) -> None:
    for format in FORMATS:
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"):
            _refused(server.ask(f"/{format}/nowhere/x", method=method), 404)
    for path in ("/nothing", "/pypi", "/generic", "/nothing/here/", "/healthz/", "/_blobs/ab/cd", "/_blobs../x"):
        _refused(server.ask(path, headers={"Host": "elsewhere.example"}), 404)
    refused = server.ask("/healthz", method="DELETE")
    _refused(refused, 405)
    assert "GET" in (refused.header("allow") or "")


def test_a_redirect_is_one_hop_and_keeps_prefix_and_query(server: Running) -> None:
    wanted = "https://packages.example/deep/"
    for name in ("local", "main", "upstream"):
        for path, place in (
            ("simple", "simple/"),
            ("simple?format=x&y=%2f", "simple/?format=x&y=%2f"),
            ("simple/demo", "simple/demo/"),
            ("simple/De_Mo", "simple/de-mo/"),
            ("simple/D..mo/", "simple/d-mo/"),
        ):
            answer = server.ask(f"/pypi/{name}/{path}")
            assert answer.status == 301
            assert answer.header("location") in (f"/deep/pypi/{name}/{place}", f"{wanted}pypi/{name}/{place}")
            assert answer.header("vary") == "Accept, Accept-Encoding"
            assert answer.header("cache-control") == "no-store"
            head = server.ask(f"/pypi/{name}/{path}", method="HEAD")
            assert (head.status, steady(head)) == (301, steady(answer))
    arrived = server.ask("/pypi/main/simple/demo/")
    assert arrived.status == 200


def test_no_redirect_leads_elsewhere(server: Running) -> None:
    for path in ("simple/%2f%2fevil.example", "simple/%2Fevil.example%2f", "simple//evil.example", "simple/a%0d%0aX:y"):
        answer = server.ask(f"/pypi/main/{path}")
        assert answer.status in (400, 404)
        assert answer.header("location") is None
    for host in ("evil.example", "evil.example:80"):
        answer = server.ask("/pypi/main/simple", headers={"Host": host, "X-Forwarded-Host": host})
        assert "evil" not in (answer.header("location") or "")


def test_a_folder_has_its_slash(server: Running) -> None:
    answer = server.ask("/generic/local?format=json")
    assert (answer.status, answer.header("location")) == (301, "/deep/generic/local/?format=json")


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "pypi"])
@pytest.mark.parametrize("name", ["local", "main", "upstream"])
def test_a_repository_has_its_slash(server: Running, format: str, name: str) -> None:
    """cargo.md 8: cargo refuses the address of an index without it."""
    for method in ("GET", "HEAD"):
        answer = server.ask(f"/{format}/{name}?x=y", method=method)
        assert (answer.status, answer.header("location")) == (301, f"/deep/{format}/{name}/?x=y")
    assert server.ask(f"/{format}/{name}/").status == 200


def test_writes_are_never_redirected(server: Running) -> None:
    for method, path in (
        ("POST", "/pypi/local/simple/De_Mo"),
        ("PUT", "/pypi/local/simple"),
        ("PUT", "/generic/local"),
        ("PUT", "/cargo/local"),
    ):
        answer = server.ask(path, method=method, body=b"x", token=server.token)
        assert answer.status in (400, 404, 405)
        assert answer.header("location") is None


def test_names_from_requests_are_escaped_in_errors(server: Running) -> None:
    evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    for path in (f"/generic/main/{evil}", f"/pypi/main/simple/{evil}/", f"/pypi/{evil}/", f"/{evil}"):
        for accept in ("text/html", "application/json", "*/*"):
            answer = server.ask(path, headers={"Accept": accept})
            assert answer.status == 404
            if (answer.header("content-type") or "").startswith("text/html"):
                assert b"<script>" not in answer.body
            else:
                assert answer.header("x-content-type-options") == "nosniff"


def test_file_names_are_escaped_in_listings(server: Running) -> None:
    name = "%3Cimg%20src=x%20onerror=alert(1)%3E%22%27%26.html"
    assert server.put(f"/generic/local/odd/{name}", b"<script>").status == 201
    page = server.ask("/generic/local/odd/").text
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    file = server.ask(f"/generic/local/odd/{name}")
    assert (file.header("content-security-policy") or "").startswith("sandbox")
    assert file.header("x-content-type-options") == "nosniff"


def test_long_paths_and_queries_are_refused(server: Running) -> None:
    _refused(server.ask("/generic/main/" + "a" * 9000), 400)
    _refused(server.ask("/generic/main/" + "a/" * 600 + "x"), 400)
    _refused(server.ask("/generic/main/?" + "&".join(f"a{at}=1" for at in range(500))), 400)
