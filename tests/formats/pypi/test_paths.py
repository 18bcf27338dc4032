from __future__ import annotations

import pytest

from reliquary.errors import NotAcceptable
from reliquary.formats.base import Call, FileKey, Format, Moved, PageKey
from reliquary.formats.pypi import FORMAT
from reliquary.types import Action

SHA = "a" * 64
WHEEL = "demo-1.0-py3-none-any.whl"
V1_JSON = "application/vnd.pypi.simple.v1+json"


def match(path: str, method: str = "GET", **query: str) -> object:
    segments = tuple(path.split("/")) if path else ()
    return FORMAT.match(method, segments, query)


def test_it_is_a_format() -> None:
    held: Format = FORMAT
    assert (held.name, held.challenges) == ("pypi", ('Basic realm="Reliquary"',))
    assert held.public is not None and held.public.client == "pip"


@pytest.mark.parametrize("path", ["simple/", "+simple/", "legacy/+simple/", "simple/+simple/"])
def test_the_list(path: str) -> None:
    assert match(path) == PageKey("simple/", "", children="")


@pytest.mark.parametrize("path", ["simple/foo/", "+simple/foo/", "legacy/+simple/foo/", "simple/+simple/foo/"])
def test_a_project_page(path: str) -> None:
    assert match(path, "HEAD") == PageKey("simple/foo/", "foo", "foo")


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("simple", "simple/"),
        ("+simple", "simple/"),
        ("simple/foo", "simple/foo/"),
        ("simple/Foo.Bar_baz", "simple/foo-bar-baz/"),
        ("simple/Foo.Bar_baz/", "simple/foo-bar-baz/"),
        ("simple/a--b/", "simple/a-b/"),
        ("legacy/+simple/Foo/", "simple/foo/"),
    ],
)
def test_one_hop_to_the_normal_form(path: str, normal: str) -> None:
    assert match(path) == Moved(normal)
    assert isinstance(match(normal), PageKey)


@pytest.mark.parametrize("name", ["-a", "a-", "_", "a b", "é", "\u212aelvin", "a!", "x" * 301])
def test_names_that_cannot_be(name: str) -> None:
    assert match(f"simple/{name}/") is None


def test_the_format_parameter() -> None:
    for given in (V1_JSON, V1_JSON.replace("+", " "), "application/vnd.pypi.simple.latest+json"):
        key = match("simple/foo/", format=given)
        assert isinstance(key, PageKey) and key.media == V1_JSON
    with pytest.raises(NotAcceptable):
        match("simple/", format="application/json")


def test_files() -> None:
    for place in (SHA, "u-" + "0" * 32):
        path = f"files/demo/{place}/demo-1.0+cpu-py3-none-any.whl"
        assert match(path) == FileKey(path, "demo", "demo")
        assert match(path + ".metadata") == FileKey(path + ".metadata", "demo", "demo")
        assert match("legacy/" + path) == match(path)
    for wrong in (
        f"files/Demo/{SHA}/{WHEEL}",
        f"files/demo/{SHA.upper()}/{WHEEL}",
        f"files/demo/{SHA}/",
        "files/x/y/z",
    ):
        assert match(wrong) is None


@pytest.mark.parametrize("path", ["", "legacy", "legacy/", "simple", "simple/"])
def test_uploads_are_never_redirected(path: str) -> None:
    call = match(path, "POST")
    assert isinstance(call, Call) and call.action is Action.PUBLISH and call.name is None


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("PUT", WHEEL, Action.PUBLISH),
        ("PUT", "manage/demo/status", Action.ADMIN),
        ("PUT", "manage/demo/1.0/yank", Action.DELETE),
        ("DELETE", "manage/demo/1.0/yank", Action.DELETE),
        ("DELETE", "manage/Demo/1.0", Action.DELETE),
        ("DELETE", f"files/demo/{SHA}/{WHEEL}", Action.DELETE),
        ("GET", f"integrity/demo/1.0/{WHEEL}/provenance", Action.READ),
        ("GET", "pypi/demo/json", Action.READ),
        ("GET", "pypi/demo/1.0/json", Action.READ),
        ("GET", "packages/source/d/demo/demo-1.0.tar.gz", Action.READ),
    ],
)
def test_calls(method: str, path: str, action: Action) -> None:
    call = match(path, method)
    assert isinstance(call, Call)
    assert (call.action, call.name) == (action, "demo")


def test_xml_rpc_and_nothing() -> None:
    call = match("pypi", "POST")
    assert isinstance(call, Call) and call.action is Action.READ
    sidecar = f"files/demo/{SHA}/{WHEEL}.metadata"
    for method, path in (
        ("GET", ""),
        ("GET", "project/demo/"),
        ("POST", "simple/x/"),
        ("PATCH", WHEEL),
        ("DELETE", sidecar),
    ):
        assert match(path, method) is None


def test_manners() -> None:
    page = FORMAT.manner(PageKey("simple/", ""))
    assert [offer.media for offer in page.offers] == ["text/html", V1_JSON, "application/vnd.pypi.simple.v1+html"]
    assert (page.codings, page.max_age, page.immutable) == (True, 300, False)
    assert dict(page.headers)["access-control-expose-headers"] == "X-PyPI-Last-Serial"
    file = FORMAT.manner(FileKey("files/x", "x", "x"))
    assert (file.immutable, file.ranges, file.codings, file.sandbox) == (True, True, False, True)
    assert [offer.content_type for offer in file.offers] == ["application/octet-stream"]


@pytest.mark.parametrize(
    ("base", "index"),
    [
        ("https://index.example/simple/", "https://index.example/simple/"),
        ("https://index.example/simple", "https://index.example/simple/"),
        ("https://index.example/", "https://index.example/simple/"),
        ("https://index.example/pypi/", "https://index.example/simple/"),
        ("https://index.example/whl/cu128/", "https://index.example/whl/cu128/"),
        ("https://index.example/root/pypi/+simple/", "https://index.example/root/pypi/+simple/"),
        ("https://index.example/pypi/main/", "https://index.example/pypi/main/simple/"),
        ("https://index.example/repository/pypi/", "https://index.example/repository/pypi/simple/"),
        ("https://index.example/api/pypi/main/simple/", "https://index.example/api/pypi/main/simple/"),
    ],
)
def test_where_an_upstream_has_its_pages(base: str, index: str) -> None:
    assert FORMAT.locate(PageKey("simple/", "", children=""), base) == index
    assert FORMAT.locate(PageKey("simple/foo/", "foo", "foo"), base) == index + "foo/"
    assert FORMAT.locate(FileKey(f"files/foo/{SHA}/x.whl", "foo", "foo"), base) is None


def test_recognised_files_can_be_put() -> None:
    for name in (WHEEL, "Foo.Bar-1.0.tar.gz"):
        assert FORMAT.recognise(name) == (name,)
    for name in ("readme.txt", "demo.whl", "backup.tar.gz", "foo-latest.tar.gz", "demo-1.0.zip"):
        assert FORMAT.recognise(name) is None


def test_client_lines_use_the_address() -> None:
    base = "http://host.example/pypi/main/"
    clients = {client.client: client.lines for client in FORMAT.clients(base)}
    assert set(clients) == {"pip", "uv", "poetry", "pdm", "hatch", "twine"}
    assert all(any(base in line for line in lines) for lines in clients.values())


def test_scopes() -> None:
    assert FORMAT.pages("") == [PageKey("simple/", "", children="")]
    assert FORMAT.pages("foo") == [PageKey("simple/foo/", "foo", "foo")]
