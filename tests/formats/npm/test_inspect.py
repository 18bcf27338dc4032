from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.npm.inspect import LARGEST, README, Tarball, agree, look

MANIFEST: Mapping[str, Any] = {"name": "demo", "version": "1.0.0"}
PACKAGE = "package/package.json"

Members: TypeAlias = dict[str, bytes | tarfile.TarInfo]


def packed(members: Members) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for path, body in members.items():
            member = body if isinstance(body, tarfile.TarInfo) else tarfile.TarInfo(path)
            member.size = len(body) if isinstance(body, bytes) else 0
            archive.addfile(member, io.BytesIO(body) if isinstance(body, bytes) else None)
    return sink.getvalue()


def link(path: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path)
    made.type, made.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return made


def tarball(
    manifest: Mapping[str, Any] | None = None,
    more: Mapping[str, bytes | tarfile.TarInfo] | None = None,
    *,
    folder: str = "package",
) -> Tarball:
    text = json.dumps({**MANIFEST, **(manifest or {})}).encode()
    return look(io.BytesIO(packed({f"{folder}/package.json": text, **(more or {})})))


def refused(members: Members, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        look(io.BytesIO(packed(members)))


def test_what_a_tarball_says() -> None:
    text = b'\xef\xbb\xbf{"name":" demo ","version":"v1.0.0+x","description":"\xff"}'
    members: Members = {
        PACKAGE: text,
        "package/lib/README.md": b"not this",
        "package/README": b"plain",
        "package/readme.markdown": "Grüße".encode(),
        "package/npm-shrinkwrap.json": b"{}",
    }
    assert look(io.BytesIO(packed(members))) == Tarball(
        name="demo",
        version="1.0.0",
        manifest={"name": " demo ", "version": "v1.0.0+x", "description": "\ufffd"},
        file_count=5,
        unpacked_size=len(text) + 8 + 5 + 7 + 2,
        has_shrinkwrap=True,
        readme="Grüße",
        readme_filename="readme.markdown",
    )


@pytest.mark.parametrize("folder", ["package", "demo-1.0.0", "user-demo-abcdef", "ünï"])
def test_the_folder_may_have_any_name(folder: str) -> None:
    deep = {f"{folder}/node_modules/dep/package.json": b"not JSON"}
    found = tarball({"x": 1}, deep, folder=folder)
    assert (found.manifest["x"], found.file_count, found.readme) == (1, 2, None)


def test_a_long_readme_is_cut_between_characters() -> None:
    found = tarball({}, {"package/README.md": b"x" * (README - 1) + "é".encode() * 1000})
    assert found.readme == "x" * (README - 1)
    assert found.unpacked_size > README + 1000


@pytest.mark.parametrize(
    ("manifest", "files", "runs"),
    [
        ({}, [], False),
        ({"scripts": {"test": "x", "prepare": "x", "install": " ", "postinstall": 1}}, [], False),
        ({"scripts": "install"}, [], False),
        ({"scripts": {"preinstall": "x"}}, [], True),
        ({"scripts": {"install": "x"}}, [], True),
        ({"scripts": {"postinstall": "x"}}, [], True),
        ({}, ["package/binding.gyp"], True),
        ({"gypfile": False}, ["package/binding.gyp"], False),
        ({"gypfile": False, "scripts": {"install": "x"}}, ["package/binding.gyp"], True),
        ({}, ["package/src/binding.gyp"], False),
    ],
)
def test_what_runs_on_installation(manifest: dict[str, Any], files: list[str], runs: bool) -> None:
    assert tarball(manifest, dict.fromkeys(files, b"{}")).has_install_script is runs


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({}, "no package.json"),
        ({"package.json": b"{}"}, "no package.json"),
        ({"package/x/package.json": b"{}"}, "no package.json"),
        ({PACKAGE: b"{"}, "is not JSON"),
        ({PACKAGE: b"[" * 100_000}, "is not JSON"),
        ({PACKAGE: b"[]"}, "not a JSON object"),
        ({PACKAGE: b"{}"}, "no name"),
        ({PACKAGE: b'{"name":"../x","version":"1.0.0"}'}, "no name"),
        ({PACKAGE: b'{"name":"x","version":"1.0"}'}, "no semantic version"),
        ({PACKAGE: b'{"name":"x","version":1}'}, "no semantic version"),
        ({PACKAGE: b" " * (LARGEST + 1)}, "larger than"),
        ({PACKAGE: b"{}", "other/package.json": b"{}"}, "second"),
        ({PACKAGE: b"{}", "package/Package.json": b"{}"}, "second"),
        ({"package/x": b"{}", PACKAGE: link(PACKAGE, "x")}, "linked"),
        ({"package/x": b"{}", PACKAGE: link(PACKAGE, "package/x", hard=True)}, "linked"),
        ({PACKAGE: b"{}", "package/../x": b""}, "unsafe"),
        ({PACKAGE: b"{}", "/package/x": b""}, "unsafe"),
        ({PACKAGE: b"{}", f"./{PACKAGE}": b"{}"}, "twice"),
        ({"package/zeros": bytes(70 * 1_048_576)}, "bomb"),
    ],
)
def test_what_is_refused(members: Members, match: str) -> None:
    refused(members, match)


def test_links_that_stay_inside_are_counted() -> None:
    links: Members = {
        "package/lib/a.js": b"x",
        "1": link("package/lib/b.js", "a.js"),
        "2": link("package/c.js", "./lib/a.js"),
        "3": link("package/lib/d", "../lib"),
        "4": link("package/lib/e.js", "package/lib/a.js", hard=True),
    }
    found = tarball({}, links)
    assert found.file_count == 6
    assert found.unpacked_size == len(json.dumps(dict(MANIFEST))) + 1


@pytest.mark.parametrize(
    ("path", "target", "hard"),
    [
        ("package/a", "/etc/passwd", False),
        ("package/a", "..", False),
        ("package/a", ".", False),
        ("package/a", "../other/x", False),
        ("package/a", "lib/../x.js", False),
        ("package/lib/a", "../../x", False),
        ("package/a", "lib\\x", False),
        ("package/lib", "package/x.js", True),
        ("package/lib", "x.js", False),
        ("package/a", "package/later.js", True),
        ("package/a", "x.js", True),
        ("package/a", "", False),
        ("a", "package/x.js", True),
    ],
)
def test_links_that_lead_away(path: str, target: str, hard: bool) -> None:
    members: Members = {
        PACKAGE: b"{}",
        "package/x.js": b"",
        "package/lib/y.js": b"",
        path: link(path, target, hard=hard),
    }
    refused(members | {"package/later.js": b""}, "links to")


def test_nothing_lies_behind_a_link() -> None:
    members: Members = {"package/lib/y.js": b"", "package/a": link("package/a", "lib")}
    refused(members | {"package/a/b/z.js": b""}, "behind a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE])
def test_devices(kind: bytes) -> None:
    device = tarfile.TarInfo("package/x")
    device.type = kind
    refused({PACKAGE: b"{}", "package/x": device}, "device")


@given(st.data())
def test_a_damaged_tarball_is_malformed_and_nothing_else(draw: st.DataObject) -> None:
    good = packed({PACKAGE: json.dumps(dict(MANIFEST)).encode(), "package/README.md": b"x" * 3000})
    raw = bytearray(gzip.decompress(good))
    for _ in range(draw.draw(st.integers(1, 3))):
        raw[draw.draw(st.integers(0, 3000))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.sampled_from((0, 1, 512, 5000)))
    for data in (gzip.compress(bytes(raw), 1)[: len(raw) - cut], gzip.compress(bytes(raw[: len(raw) - cut]), 1)):
        try:
            found = look(io.BytesIO(data))
        except Malformed:
            continue
        assert found.file_count in (1, 2)


OPTIONAL = {"dependencies": {"a": "1", "b": "2"}, "optionalDependencies": {"b": "2"}}


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ({}, {}),
        ({"readme": "x", "gitHead": "0", "_id": "demo@1.0.0", "dist": {}, "bin": {"demo": "x"}}, {"bin": "x"}),
        ({"version": "1.0.0"}, {"version": " =v1.0.0"}),
        ({"version": "1.0.0-beta"}, {"version": "1.0.0beta"}),
        ({"version": "1.0.0"}, {"version": "1.0.0+build"}),
        ({"dependencies": {"a": "1"}, "optionalDependencies": {"b": "2"}}, OPTIONAL),
        (OPTIONAL, {"dependencies": {"a": "1"}, "optionalDependencies": {"b": "2"}}),
        ({"optionalDependencies": {"b": "2"}}, {"dependencies": {"b": "1"}, "optionalDependencies": {"b": "2"}}),
        ({"dependencies": {"a": ">=1", "b": "", "@s/c": "^2"}}, {"dependencies": ["a>=1", "b", "@s/c@^2"]}),
        ({"dependencies": {"a": "1", "b": "2"}}, {"dependencies": "a@1, b@2"}),
        ({"dependencies": {}}, {"dependencies": {"a": {"version": "1"}}}),
        ({"dependencies": {"a": "github:u/r#v1"}}, {"dependencies": {"a": "u/r#v1"}}),
        (
            {"dependencies": {"a": "git+https://git.example/u/r.git#v1"}},
            {"dependencies": {"a": "https://git.example/u/r#v1"}},
        ),
        ({"dependencies": {"a": "git+ssh://git@git.example/u/r.git"}}, {"dependencies": {"a": "git@git.example:u/r"}}),
        (
            {"dependencies": {"a": "git+https://git.example/u/r.git#x"}},
            {"dependencies": {"a": "https://git.example/u/r/tree/x"}},
        ),
        ({"scripts": {"install": "node-gyp rebuild"}, "gypfile": True}, {"scripts": {"test": "x"}}),
        ({"scripts": {"install": "x y"}}, {"scripts": {"install": "./node_modules/.bin/x y", "preinstall": ""}}),
        ({"scripts": {"test": "other"}, "peerDependencies": {"x": "1"}}, {"scripts": {"test": "x"}}),
    ],
)
def test_what_clients_mend_agrees(said: dict[str, Any], own: dict[str, Any]) -> None:
    agree({**MANIFEST, **said}, tarball(own))


@pytest.mark.parametrize(
    ("said", "own", "match"),
    [
        ({"name": "other"}, {}, "differ in name"),
        ({"name": None}, {}, "differ in name"),
        ({"name": "Demo"}, {}, "differ in name"),
        ({"version": "1.0.1"}, {}, "differ in version"),
        ({"version": "1.0.0-0"}, {}, "differ in version"),
        ({"version": ["1.0.0"]}, {}, "differ in version"),
        ({"dependencies": {"a": "1"}}, {}, "dependency 'a': the tarball says 'none'"),
        ({}, {"dependencies": {"a": "1"}}, "dependency 'a': the tarball says '1'"),
        ({"dependencies": {"a": "2"}}, {"dependencies": {"a": "1"}}, "dependency 'a'"),
        ({"dependencies": "nonsense"}, {"dependencies": {"a": "1"}}, "dependency 'a'"),
        ({"dependencies": OPTIONAL["dependencies"]}, OPTIONAL, "optional dependency 'b'"),
        (OPTIONAL, {"dependencies": OPTIONAL["dependencies"]}, "optional dependency 'b'"),
        ({"dependencies": {"a": "github:u/r"}}, {"dependencies": {"a": "gitlab:u/r"}}, "dependency 'a'"),
        ({"dependencies": {"a": "u/r#1"}}, {"dependencies": {"a": "u/r#2"}}, "dependency 'a'"),
        (
            {"dependencies": {"a": "https://one.example/u/r"}},
            {"dependencies": {"a": "https://two.example/u/r"}},
            "dependency 'a'",
        ),
        ({}, {"scripts": {"postinstall": "x"}}, "install scripts: the tarball says 'postinstall: x'"),
        ({"scripts": {"install": "y"}}, {"scripts": {"install": "x"}}, "install scripts"),
        ({"scripts": {"install": "node-gyp rebuild"}}, {"scripts": {"install": "x"}}, "install scripts"),
        ({"scripts": {"preinstall": "x"}}, {}, "install scripts"),
    ],
)
def test_a_manifest_that_says_otherwise(said: dict[str, Any], own: dict[str, Any], match: str) -> None:
    with pytest.raises(Malformed, match=match):
        agree({**MANIFEST, **said}, tarball(own))
