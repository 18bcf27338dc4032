from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import time
import tracemalloc
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.formats.cargo.inspect import README, UNPACKED, Crate, agree, look
from reliquary.formats.cargo.manifest import DEPTH, LARGEST, read
from tests.formats.cargo import artefacts

MANIFEST = "demo-1.0.0/Cargo.toml"
TOML = artefacts.toml("demo", "1.0.0").encode()
MIB = 1_048_576

Members: TypeAlias = dict[str, bytes | tarfile.TarInfo]


def packed(members: Members, form: int = tarfile.PAX_FORMAT) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz", format=form) as archive:
        for path, body in members.items():
            member = body if isinstance(body, tarfile.TarInfo) else tarfile.TarInfo(path)
            member.size = len(body) if isinstance(body, bytes) else 0
            archive.addfile(member, io.BytesIO(body) if isinstance(body, bytes) else None)
    return sink.getvalue()


def special(path: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(path)
    made.type, made.linkname = kind, target
    return made


def seen(data: bytes) -> Crate:
    return look(io.BytesIO(data))


def written(text: str) -> Crate:
    return seen(artefacts.crate(manifest=text))


def refused(data: bytes, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        seen(data)


def test_what_a_crate_says() -> None:
    text = artefacts.toml("Leaf_One", "1.2.3-rc.1+build.5", rust_version="1.70", links="z", readme="docs/READ.md")
    files = {"docs/READ.md": "Grüße".encode(), "README.md": b"not this"}
    assert seen(artefacts.crate("Leaf_One", "1.2.3-rc.1+build.5", manifest=text, files=files)) == Crate(
        name="Leaf_One",
        version="1.2.3-rc.1+build.5",
        manifest={
            "package": {
                "edition": "2021",
                "name": "Leaf_One",
                "version": "1.2.3-rc.1+build.5",
                "license": "MIT",
                "description": "the Leaf_One of the tests",
                "rust-version": "1.70",
                "links": "z",
                "readme": "docs/READ.md",
            }
        },
        readme="Grüße",
        readme_file="docs/READ.md",
        file_count=5,
        unpacked_size=2 * len(text.encode()) + len(b"pub fn one() -> u8 { 1 }\n") + 7 + 8,
        rust_version="1.70",
        links="z",
    )


@pytest.mark.parametrize(
    ("said", "files", "found"),
    [
        (None, {}, None),
        (None, {"README": b"a", "README.txt": b"b", "README.md": b"c"}, "README.md"),
        (None, {"README": b"a", "README.txt": b"b"}, "README.txt"),
        (None, {"README": b"a", "docs/README.md": b"b"}, "README"),
        (None, {"docs/README.md": b"b", "readme.md": b"c"}, None),
        (False, {"README.md": b"c"}, None),
        (True, {"README.md": b"c"}, "README.md"),
        ("README", {"README.md": b"a", "README": b"b"}, "README"),
        ("./docs/../docs/r.md", {"docs/r.md": b"a"}, "docs/r.md"),
        ("gone.md", {"README.md": b"a"}, None),
        ("../README.md", {"README.md": b"a"}, None),
        ("/etc/passwd", {}, None),
        ("", {"README.md": b"a"}, None),
        ("src/lib.rs", {}, "src/lib.rs"),
        ("Cargo.toml", {}, "Cargo.toml"),
    ],
)
def test_which_file_is_the_readme(said: str | bool | None, files: dict[str, bytes], found: str | None) -> None:
    text = artefacts.toml("demo", "1.0.0", readme=said)
    crate = seen(artefacts.crate(manifest=text, files=files))
    body = {**files, "src/lib.rs": b"pub fn one() -> u8 { 1 }\n", "Cargo.toml": text.encode()}
    assert crate.readme_file == found
    assert crate.readme == (None if found is None else body[found].decode())


def test_a_readme_in_front_of_the_manifest_that_names_it() -> None:
    text = artefacts.toml("demo", "1.0.0", readme=".github/about.md").encode()
    crate = seen(packed({"demo-1.0.0/.github/about.md": b"first", MANIFEST: text}))
    assert (crate.readme, crate.readme_file) == ("first", ".github/about.md")


@pytest.mark.parametrize("name", ["README.md", "docs/long.md"])
def test_a_long_readme_is_cut_between_characters(name: str) -> None:
    text = artefacts.toml("demo", "1.0.0", readme=name)
    crate = seen(artefacts.crate(manifest=text, files={name: b"x" * (README - 1) + "é".encode() * 1000}))
    assert crate.readme == "x" * (README - 1)
    assert crate.unpacked_size > README + 1000


def test_a_readme_that_is_not_utf_8() -> None:
    assert seen(artefacts.crate(files={"README": b"\xef\xbb\xbfa\xffb"})).readme == "a\ufffdb"


@pytest.mark.parametrize("version", ["1", "1.70", "1.70.0", "0.0.0"])
def test_28_a_rust_version_is_kept(version: str) -> None:
    assert written(artefacts.toml("demo", "1.0.0", rust_version=version)).rust_version == version


@pytest.mark.parametrize(
    "version",
    [
        ">=1.70",
        "^1.70",
        "~1.70",
        "=1.70",
        "1.*",
        "1.70.0-beta",
        "1.70.0+x",
        "1.70.0.0",
        "01.70",
        "1.",
        "",
        " 1.70",
        "1²",
        "18446744073709551616",
        "1." + "9" * 100_000,
    ],
)
def test_28_a_rust_version_with_an_operator_is_refused(version: str) -> None:
    with pytest.raises(Malformed, match="not a plain version"):
        written(artefacts.toml("demo", "1.0.0", rust_version=version))


@pytest.mark.parametrize(
    ("name", "version"),
    [("Demo", "1.0.0"), ("demo_", "1.0.0"), (None, "1.0.0"), ("demo", "1.0.0+x"), ("demo", "1.0"), ("demo", ["1.0.0"])],
)
def test_29_what_was_sent_must_be_what_the_manifest_says(name: object, version: object) -> None:
    with pytest.raises(Malformed, match="in what was sent"):
        agree(artefacts.told(name="x") | {"name": name, "vers": version}, seen(artefacts.crate()))


def test_29_what_was_sent_agrees() -> None:
    agree(artefacts.told("Leaf_One", "1.0.0+x"), seen(artefacts.crate("Leaf_One", "1.0.0+x")))


@pytest.mark.parametrize("folder", ["Demo-1.0.0", "demo-1.0.1", "demo-1.0.0+x", "demo", "demo-1.0.0-", "package"])
def test_29_the_folder_must_be_what_the_manifest_says(folder: str) -> None:
    refused(artefacts.crate(folder=folder), r"folder is .*, its Cargo.toml says 'demo' '1.0.0'")


@pytest.mark.parametrize("other", ["Cargo.TOML", "cargo.toml", "CARGO.toml"])
def test_30_two_manifests_are_refused(other: str) -> None:
    refused(artefacts.crate(files={other: TOML}), "a second Cargo.toml")


def test_30_a_manifest_spelled_otherwise_is_refused() -> None:
    refused(packed({"demo-1.0.0/cargo.toml": TOML}), "spelled otherwise")


def test_30_manifests_of_other_kinds_are_allowed() -> None:
    files = {"Cargo.toml.orig": b"not TOML", "examples/Cargo.toml": b"[", "cargo.lock": b""}
    assert seen(artefacts.crate(files=files)).file_count == 5


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("other-1.0.0/x", "outside"),
        ("demo-1.0.00/x", "outside"),
        ("x", "outside"),
        ("/demo-1.0.0/x", "unsafe"),
        ("/etc/passwd", "unsafe"),
        ("demo-1.0.0/../x", "unsafe"),
        ("../demo-1.0.0/x", "unsafe"),
        ("demo-1.0.0/..", "unsafe"),
        ("demo-1.0.0//x", "unsafe"),
        ("demo-1.0.0\\x", "unsafe"),
        ("demo-1.0.0/C:\\x", "unsafe"),
        (f"./{MANIFEST}", "twice"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("last", [True, False])
def test_31_paths_that_leave_the_folder_are_refused(path: str, match: str, form: int, last: bool) -> None:
    members: Members = {MANIFEST: TOML, path: b"x"} if last else {path: b"x", MANIFEST: TOML}
    refused(packed(members, form), match)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_31_long_names(form: int) -> None:
    deep = "demo-1.0.0/" + "d" * 90 + "/" + "ü" * 120 + ".rs"
    assert seen(packed({MANIFEST: TOML, deep: b"x"}, form)).file_count == 2
    refused(packed({MANIFEST: TOML, "elsewhere/" + deep: b"x"}, form), "outside")
    refused(packed({MANIFEST: TOML, deep + "/../../x": b"x"}, form), "unsafe")


def test_31_an_extended_header_may_not_rename_all_or_the_next_one_away() -> None:
    away = tarfile.TarInfo("demo-1.0.0/x")
    away.pax_headers = {"path": "../x"}
    refused(packed({MANIFEST: TOML, "x": away}), "unsafe")
    again = tarfile.TarInfo("demo-1.0.0/x")
    again.pax_headers = {"path": MANIFEST}
    refused(packed({MANIFEST: TOML, "x": again}), "twice")
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz", pax_headers={"path": "../x"}) as archive:
        archive.addfile(tarfile.TarInfo("demo-1.0.0/x"))
    refused(sink.getvalue(), "all its members at once")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["Cargo.toml", MANIFEST, "/etc/passwd", ""])
def test_32_links_and_devices_are_refused(kind: bytes, target: str) -> None:
    refused(packed({MANIFEST: TOML, "x": special("demo-1.0.0/x", kind, target)}), "link or a device")


def test_32_a_linked_manifest_is_refused() -> None:
    members: Members = {"demo-1.0.0/real.toml": TOML, MANIFEST: special(MANIFEST, tarfile.SYMTYPE, "real.toml")}
    refused(packed(members), "link or a device")


def test_33_a_bomb_stops_in_little_memory() -> None:
    one = gzip.compress(bytes(80 * MIB), 1)
    member = tarfile.TarInfo("demo-1.0.0/zeros")
    member.size = 80 * MIB * 12
    data = io.BytesIO(gzip.compress(member.tobuf()) + one * 12 + gzip.compress(bytes(1024)))
    tracemalloc.start()
    with pytest.raises(Malformed, match="bomb"):
        look(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB


def test_33_no_more_is_unpacked_than_cargo_would() -> None:
    random.seed(1)
    block = gzip.compress(random.randbytes(2 * MIB) + bytes(46 * MIB), 1)
    data = gzip.compress(b"")
    for number in range(12):
        member = tarfile.TarInfo(f"demo-1.0.0/{number}")
        member.size = 48 * MIB
        data += gzip.compress(member.tobuf()) + block
    assert UNPACKED < 12 * 48 * MIB < len(data) * 50
    refused(data + gzip.compress(bytes(1024)), "unpacks to more than 536870912 bytes")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", r"no \[package\]"),
        (b"[workspace]\n", r"no \[package\]"),
        (b"package = 1\n", r"not as cargo package writes it"),
        (b"[package]\nname = 'demo'\n", "not as cargo package writes it.*version"),
        (b"[package]\nname = 'demo'\nversion.workspace = true\n", "not as cargo package writes it.*version"),
        (b"[package]\nname = ''\nversion = '1.0.0'\n", "is no name"),
        (b"[package]\nname = '../x'\nversion = '1.0.0'\n", "is no name"),
        ("[package]\nname = 'dämo'\nversion = '1.0.0'\n".encode(), "is no name"),
        (b"[package]\nname = 'demo'\nversion = '1.0'\n", "is no version"),
        (b"[package]\nname = 'demo'\nversion = 'v1.0.0'\n", "is no version"),
        (b"[package]\nname = 'demo'\nversion = '../1.0.0'\n", "is no version"),
        (b"[package]\nname = 'demo'\nversion = '1.0.0'\nlinks = 1\n", "not as cargo package writes it.*links"),
        (b"[package]\nname = 'demo'\nversion = '1.0.0'\nreadme = 1\n", "not as cargo package writes it.*readme"),
        (b"{}", "not TOML"),
        (b"\xff", "not UTF-8"),
        (TOML.decode().encode("utf-16"), "not UTF-8"),
        (TOML + b"#" * LARGEST, "larger than"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"a." * 100_000 + b"a = 1", "a key of 12 parts"),
        (b"a = " + b"9" * 100_000, "not TOML"),
    ],
)
def test_manifests_that_are_refused(text: bytes, match: str) -> None:
    refused(packed({MANIFEST: text}), match)


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 500_000) + " = 1",
        "[" + " . ".join(["a"] * 1000) + "]",
        "\n".join(f"x{number}." + ".".join(["b"] * 200) + " = 1" for number in range(2000)),
        "x = {" + '\'a b\'."c\\" d".' * 500 + "e = 1}",
        '"' + '\\"' * 500_000,
        "x = '''" + ("a" + " " * 20) * 45_000,
        "x = " + "[" * 1_000_000,
        "x = " + "{a = " * 200_000,
        "x = " + "1" * 1_000_000,
        "'" * 1_000_000,
        '"' * 1_000_000,
        "\\" * 1_000_000,
        "." * 1_000_000,
        "a" * 1_000_000,
        "x = " + " " * LARGEST,
    ],
)
def test_what_would_tire_a_reader_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(Malformed):
        read(text.encode())
    assert time.process_time() - began < 5


def test_keys_of_sane_depth_are_read() -> None:
    key = ".".join(["a"] * (DEPTH - 1))
    found = read(f"[package.metadata]\n{key} = 1\ntext = '{'x ' * 50}1.2.3 ... and so on.'".encode())
    assert json.dumps(found).count("{") == DEPTH + 1


def test_manifests_that_are_not_there() -> None:
    refused(packed({}), "no Cargo.toml")
    refused(packed({"demo-1.0.0/src/Cargo.toml": TOML}), "no Cargo.toml")
    refused(packed({"Cargo.toml": TOML}), "outside")
    refused(packed({MANIFEST: special(MANIFEST, tarfile.DIRTYPE)}), "no Cargo.toml")


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + TOML, TOML.replace(b"\n", b"\r\n"), b"[project]" + TOML[9:]])
def test_manifests_of_other_times_and_systems(text: bytes) -> None:
    assert seen(packed({MANIFEST: text})).version == "1.0.0"


def test_every_truncation_is_malformed() -> None:
    whole = artefacts.crate()
    for size in range(len(whole)):
        refused(whole[:size], "not a whole gzip-compressed tar")
    refused(whole + b"x", "not a whole gzip-compressed tar")
    refused(gzip.decompress(whole), "not a whole gzip-compressed tar")


@given(st.binary(max_size=2000))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    for each in (data, gzip.compress(data), b"\x1f\x8b\x08" + data):
        with pytest.raises(Malformed):
            seen(each)


@given(st.data())
def test_a_damaged_crate_is_malformed_or_still_the_crate(draw: st.DataObject) -> None:
    raw = bytearray(gzip.decompress(artefacts.crate(files={"README.md": b"x" * 600})))
    for _ in range(draw.draw(st.integers(1, 4))):
        raw[draw.draw(st.integers(0, 5000))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.sampled_from((0, 1, 512, 5000)))
    for data in (gzip.compress(bytes(raw), 1)[: len(raw) - cut], gzip.compress(bytes(raw[: len(raw) - cut]), 1)):
        try:
            crate = seen(data)
        except Malformed:
            continue
        assert (crate.name, crate.version) == ("demo", "1.0.0")
        assert crate.file_count in (3, 4)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_manifest_of_garbage_is_malformed_and_nothing_else(rest: bytes) -> None:
    for text in (rest, TOML + rest, TOML[:40] + rest + TOML[40:], b"[package]\nname = '" + rest + b"'\n"):
        try:
            crate = seen(packed({MANIFEST: text}))
        except Malformed:
            continue
        assert (crate.name, crate.version) == ("demo", "1.0.0")
