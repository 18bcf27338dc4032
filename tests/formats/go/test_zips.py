from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed, Refused, TooLarge
from reliquary.formats.go import gomod, zips
from reliquary.formats.go.zips import LARGEST, LARGEST_LICENSE, Module, agree, h1_of, look, mod_h1
from tests.formats.go import artefacts

PATH, VERSION = "example.com/demo", "v1.0.0"
PREFIX = f"{PATH}@{VERSION}/"
MIB = 1_048_576


def seen(data: bytes, expect: tuple[str, str] | None = None) -> Module:
    return look(io.BytesIO(data), expect)


def refused(data: bytes, match: str, expect: tuple[str, str] | None = None) -> None:
    with pytest.raises(Malformed, match=match):
        seen(data, expect)


def holding(*files: str, mod: bytes | None = None) -> bytes:
    return artefacts.module_zip(files=dict.fromkeys(files, b""), mod=mod)


def packed(members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for member, body in members:
            archive.writestr(member, body)
    return sink.getvalue()


def test_what_a_module_zip_says() -> None:
    data = artefacts.module_zip()
    mod = artefacts.gomod(PATH)
    assert seen(data) == Module(
        path=PATH,
        version=VERSION,
        h1=artefacts.h1(data),
        mod_h1=artefacts.h1_of({"go.mod": mod}),
        mod=mod,
        own_mod=True,
        file_count=3,
        unpacked_size=len(mod) + sum(map(len, artefacts.FILES.values())),
    )


def test_known_h1() -> None:
    """As the go command computes them."""
    assert h1_of({}) == "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert mod_h1(b"module example.com/demo\n") == "h1:XRgozpurgI2W00EINozZ2ygfVpN11UFGFFtFCOwdSW0="
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("b", "B", "é", "a/b", "a-b")}
    assert h1_of(hashes) == "h1:NFyrDw1lpUXeY6fbX1KjyIWZZjdjOS14+fCVABIAeZ4="
    assert artefacts.h1_of({name: name.encode() for name in hashes}) == h1_of(hashes)


def test_the_order_of_an_h1_is_that_of_bytes() -> None:
    names = ["\uffee", "\U00010400", "a.b", "a/b", "a-b", "A"]
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert h1_of(hashes) == artefacts.h1_of({name: name.encode() for name in names})
    assert h1_of(hashes) == h1_of(dict(reversed(hashes.items())))


def test_47_the_h1_is_of_the_content_not_of_the_bytes() -> None:
    first, second = artefacts.module_zip(), artefacts.module_zip(stored=True)
    turned = artefacts.module_zip(files={name: artefacts.FILES[name] for name in sorted(artefacts.FILES)})
    assert len({first, second, turned}) == 3
    assert seen(first) == seen(second) == seen(turned)
    assert seen(artefacts.module_zip(files={"x": b""})).h1 != seen(first).h1


@pytest.mark.parametrize("version", ["v1.0.0", "v3.0.0+incompatible"])
def test_21_a_module_without_a_go_mod_gets_one_line(version: str) -> None:
    module = seen(artefacts.module_zip(version=version, mod=None))
    assert (module.own_mod, module.mod) == (False, b"module example.com/demo\n")
    assert module.mod_h1 == artefacts.h1_of({"go.mod": b"module example.com/demo\n"})
    agree(module)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("example.com/Demo", "v1.0.0-M3"),
        ("example.com/demo/v2", "v2.0.0-20200102030405-abcdefabcdef"),
        ("gopkg.in/yaml.v3", "v3.0.1"),
        ("example.com/demo", "v2.0.0+incompatible"),
        ("example.com", "v0.0.1-go1.22.1.linux-amd64"),
    ],
)
def test_06_path_and_version_are_those_of_the_entries(path: str, version: str) -> None:
    data = artefacts.module_zip(path, version)
    module = seen(data)
    assert (module.path, module.version) == (path, version)
    assert seen(data, (path, version)) == module
    agree(module)


@pytest.mark.parametrize(
    ("path", "version", "match"),
    [
        ("example.com/demo", "v2.0.0", "can have no version 'v2.0.0'"),
        ("example.com/demo/v2", "v1.0.0", "can have no version"),
        ("example.com/demo/v2", "v2.0.0+incompatible", "can have no version"),
        ("example.com/demo", "v1.0.0+incompatible", "can have no version"),
        ("example.com/demo/v1", "v1.0.0", "major version"),
        ("example.com/demo", "v1.0.0+meta", "no canonical version"),
        ("example.com/demo", "v1.0", "no canonical version"),
        ("example.com/demo", "latest", "no canonical version"),
        ("corp/demo", "v1.0.0", "no dot"),
        ("example.com/.demo", "v1.0.0", "a dot at"),
    ],
)
def test_05_06_42_paths_and_versions_that_cannot_be(path: str, version: str, match: str) -> None:
    data = artefacts.module_zip(path, version)
    refused(data, match)
    refused(data, match, (path, version))


@pytest.mark.parametrize(
    "prefix",
    ["", "demo/", f"{PATH}/", f"{PATH}-{VERSION}/", f"{PATH}@/", f"@{VERSION}/", f"{PATH}@{VERSION}"],
)
def test_zips_without_the_prefix(prefix: str) -> None:
    refused(artefacts.module_zip(prefix=prefix), "start with|module path")


@pytest.mark.parametrize(
    "expect",
    [(PATH, "v1.0.1"), ("example.com/Demo", VERSION), ("example.com/dem", VERSION), ("example.com/demo/v2", "v2.0.0")],
)
def test_a_zip_of_another_module_than_expected(expect: tuple[str, str]) -> None:
    refused(artefacts.module_zip(), "does not start with", expect)


def test_entries_of_two_modules() -> None:
    refused(packed([(PREFIX + "a", b""), ("example.com/demo@v1.0.1/b", b"")]), r"'example.com/demo@v1.0.1/b' does not")
    refused(packed([(PREFIX + "a", b""), ("b", b"")]), "'b' does not start")


def test_an_empty_zip() -> None:
    refused(packed([]), "empty")
    assert seen(packed([]), (PATH, VERSION)).h1 == h1_of({})


GOOD = [
    "a b.go",
    "é/ß.go",
    "中.go",
    "!#$%&()+,-.=@[]^_{}~ 09azAZ",
    ".gitignore",
    "...a",
    " a",
    "-a",
    "a~1",
    "com0",
    "com10.txt",
    "console",
    "vendor/a/b.go",
    "vendor/modules.txt",
    ".git/config",
    "go.mod/x",
    "go.modx",
    "sub/LICENSE",
]

BAD = [
    ("a\\b", "unsafe"),
    ("../a", "unsafe"),
    ("a/../b", "unsafe"),
    ("./a", "unsafe"),
    ("a//b", "unsafe"),
    ("/a", "unsafe"),
    ("a\n", "unsafe"),
    ("a\tb", "unsafe"),
    ("a\u00a0b", "unsafe"),
    ("a:b", "characters"),
    ("a*", "characters"),
    ("a?", "characters"),
    ("a|b", "characters"),
    ("a'b", "characters"),
    ('a"b', "characters"),
    ("a<b", "characters"),
    ("a;b", "characters"),
    ("a`b", "characters"),
    ("😀", "characters"),
    ("٣", "characters"),
    ("a…", "characters"),
    ("e\u0301.go", "characters"),
    ("a.", "ends in a dot"),
    ("a./b", "ends in a dot"),
    ("a/...", "ends in a dot"),
    ("con", "Windows"),
    ("CON.txt", "Windows"),
    ("a/Aux/b", "Windows"),
    ("nul.tar.gz", "Windows"),
    ("lpt1", "Windows"),
]


@pytest.mark.parametrize("name", GOOD)
def test_23_names_that_are_taken(name: str) -> None:
    assert seen(holding(name)).file_count == 1


@pytest.mark.parametrize(("name", "match"), BAD)
def test_23_names_that_are_refused(name: str, match: str) -> None:
    refused(holding(name), match)
    if not name.startswith("/"):
        refused(holding(f"a/{name}/x"), match)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.go", "A.go"),
        ("a/b", "A/c"),
        ("a/b/c", "a/B/d"),
        ("é", "É"),
        ("k", "\u212a"),
        ("s", "\u017f"),
        ("ẞ", "ß"),
        ("ǆ", "ǅ"),
        ("\u03c3", "\u03c2"),
    ],
)
def test_23_names_that_differ_by_case_only(first: str, second: str) -> None:
    refused(holding(first, second), "one file where case does not count")
    refused(holding(second, first), "one file where case does not count")


@pytest.mark.parametrize(("first", "second"), [("ß", "ss"), ("İ", "i"), ("\u0131", "i"), ("ﬁ", "fi"), ("é", "e")])
def test_23_names_that_are_two(first: str, second: str) -> None:
    assert seen(holding(first, second)).file_count == 2


def test_23_a_file_and_a_folder_of_one_name() -> None:
    refused(holding("a", "a/b"), "both a file and a folder")
    refused(holding("a/b", "a"), "both a file and a folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_23_an_entry_twice() -> None:
    refused(packed([(PREFIX + "a", b"1"), (PREFIX + "a", b"2")]), "twice")


@pytest.mark.parametrize("name", ["GO.MOD", "Go.mod", "sub/go.mod", "sub/GO.MOD", "vendor/a/go.mod", "a/b/c/gO.mOd"])
def test_24_a_go_mod_elsewhere_or_in_another_case(name: str) -> None:
    refused(holding(name), "leave it out")
    refused(holding(name, mod=artefacts.gomod(PATH)), "leave it out" if "/" in name else "case")


def test_folders_count_for_the_h1_alone() -> None:
    """The go command hashes them as empty files."""
    data = packed([(PREFIX, b""), (PREFIX + "a/", b""), (PREFIX + "a/b", b"x")])
    module = seen(data)
    assert (module.file_count, module.unpacked_size) == (1, 1)
    assert module.h1 == artefacts.h1(data) != artefacts.h1(packed([(PREFIX + "a/b", b"x")]))
    refused(packed([(PREFIX + "a/", b"x")]), "bytes of its own")


@pytest.mark.parametrize("kind", [0o120000, 0o020000, 0o060000, 0o010000, 0o140000])
def test_31_links_and_devices_are_refused(kind: int) -> None:
    member = zipfile.ZipInfo(PREFIX + "a")
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    refused(packed([(member, b"b")]), "link or a device")


def test_names_are_utf_8_with_the_flag_and_without() -> None:
    data = artefacts.module_zip(files={"é.go": b"x"}, stored=True)
    bare = bytearray(data)
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        here = data.rindex(mark)
        bare[here + at + 1] &= 0xF7
    assert bytes(bare) != data
    assert seen(bytes(bare)) == seen(data)
    refused(bytes(bare).replace("é".encode(), b"\xe9x"), "not UTF-8")


@pytest.mark.parametrize(
    ("name", "limit"), [("go.mod", gomod.LARGEST), ("LICENSE", LARGEST_LICENSE), ("sub/LICENSE", None)]
)
def test_23_the_limits_of_single_files(name: str, limit: int | None) -> None:
    size = limit or LARGEST_LICENSE
    assert seen(artefacts.module_zip(files={name: bytes(size)}, mod=None)).unpacked_size == size
    data = artefacts.module_zip(files={name: bytes(size + 1)}, mod=None)
    if limit is None:
        assert seen(data).unpacked_size == size + 1
    else:
        with pytest.raises(TooLarge, match=f"larger than {limit} bytes"):
            seen(data)


def bomb(size: int, count: int) -> bytes:
    """A zip of ``count`` files, each of ``size`` zeros."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(count):
            with archive.open(f"{PREFIX}{number}", "w") as member:
                for _ in range(size // MIB):
                    member.write(bytes(MIB))
    return sink.getvalue()


def test_23_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = bomb(101 * MIB, 5)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="unpacks to more than 524288000 bytes"):
        seen(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


def test_23_500_mib_of_content_are_unpacked_in_little_memory() -> None:
    data = io.BytesIO(bomb(100 * MIB, 5))
    tracemalloc.start()
    module = look(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert module.unpacked_size == LARGEST
    assert peak < 4 * MIB


def test_23_a_zip_of_more_than_500_mib_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "zip").open("w+b") as file:
        os.truncate(file.fileno(), LARGEST + 1)
        with pytest.raises(TooLarge, match="the zip is larger than 524288000 bytes"):
            look(file)


def made(body: bytes, *, size: int | None = None, crc: int | None = None, method: int = 8, flags: int = 0) -> bytes:
    """A zip of one entry whose compressed bytes, size and checksum may lie."""
    name = (PREFIX + "a").encode()
    size, crc = len(body) if size is None else size, 0 if crc is None else crc
    told = struct.pack("<3H3L2H", method, 0, 0, crc, len(body), size, len(name), 0)
    behind = struct.pack("<4s3L", b"PK\7\10", crc, len(body), size) if flags & 8 else b""
    local = struct.pack("<4s2H", b"PK\3\4", 20, flags) + told + name + body + behind
    entry = struct.pack("<4s3H", b"PK\1\2", 20, 20, flags) + told + struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9, -15)


@pytest.mark.parametrize("flags", [0, 8])
@pytest.mark.parametrize("data", [b"", b"x", bytes(3 * MIB), random.Random(1).randbytes(MIB)])
def test_23_data_descriptors(data: bytes, flags: int) -> None:
    for method, body in ((0, data), (8, deflated(data))):
        module = seen(made(body, size=len(data), crc=zlib.crc32(data), method=method, flags=flags))
        assert module.h1 == artefacts.h1_of({PREFIX + "a": data})


@pytest.mark.parametrize(
    ("body", "size", "crc"),
    [
        (deflated(b"abc"), 2, zlib.crc32(b"ab")),
        (deflated(b"abc"), 4, zlib.crc32(b"abc")),
        (deflated(b"abc"), 3, 1),
        (deflated(bytes(100 * MIB)), 10, zlib.crc32(bytes(10))),
        (deflated(b"abc") + b"more", 3, zlib.crc32(b"abc")),
        (deflated(b"abc") + bytes(MIB), 3, zlib.crc32(b"abc")),
        (deflated(b"abc")[:-1], 3, zlib.crc32(b"abc")),
        (deflated(bytes(MIB))[:-9], MIB, zlib.crc32(bytes(MIB))),
        (b"", 0, 0),
        (b"\xff" * 10, 3, 0),
    ],
)
def test_23_sizes_and_checksums_that_lie(body: bytes, size: int, crc: int) -> None:
    refused(made(body, size=size, crc=crc), "damaged|another size or checksum")


def test_23_a_lying_stored_entry() -> None:
    refused(made(b"abc", size=2, crc=zlib.crc32(b"ab"), method=0), "another size|says two sizes")
    refused(made(b"abc", size=9, crc=zlib.crc32(b"abc"), method=0), "another size")


def test_23_a_stream_that_is_longer_than_told_stops_early() -> None:
    file = io.BytesIO(made(deflated(bytes(50 * MIB)), size=1, crc=zlib.crc32(bytes(1))))
    tracemalloc.start()
    with pytest.raises(Malformed, match="another size"):
        look(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_23_zip64() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        member = zipfile.ZipInfo(PREFIX + "a")
        member.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(member, "w", force_zip64=True) as opened:
            opened.write(b"x" * 1000)
    assert seen(sink.getvalue()).h1 == artefacts.h1_of({PREFIX + "a": b"x" * 1000})


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    member = zipfile.ZipInfo(PREFIX + "a")
    member.compress_type = method
    refused(packed([(member, b"x" * 100)]), "neither stored nor deflated")


@pytest.mark.parametrize(
    ("mod", "match"),
    [
        (b"module example.com/other\n", "says module 'example.com/other', and this is 'example.com/demo'"),
        (b"go 1.21\n", "no module directive"),
        (b"", "no module directive"),
        (b"module example.com/demo\nmodule x\n", "line 2"),
        (b"\xef\xbb\xbfmodule example.com/demo\n", "line 1"),
    ],
)
def test_what_is_published_has_its_own_go_mod(mod: bytes, match: str) -> None:
    module = seen(artefacts.module_zip(mod=mod))
    assert module.mod == mod
    with pytest.raises(Malformed, match=match):
        agree(module)


def test_05_an_incompatible_version_has_no_go_mod() -> None:
    module = seen(artefacts.module_zip(version="v2.0.0+incompatible", mod=artefacts.gomod(PATH)))
    with pytest.raises(Malformed, match=r"\+incompatible is for modules without one"):
        agree(module)


def test_every_truncation_is_malformed() -> None:
    whole = artefacts.module_zip()
    for size in range(len(whole)):
        refused(whole[:size], "zip archive")
    refused(whole + b"x", "behind its end record")
    refused(b"x" + whole, "foreign bytes")


@given(st.data())
def test_a_damaged_zip_is_refused_or_still_the_module(draw: st.DataObject) -> None:
    whole = artefacts.module_zip()
    module = seen(whole)
    raw = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 3))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    try:
        found = seen(bytes(raw), (PATH, VERSION))
    except Refused:
        return
    assert found.h1 == module.h1 or found.file_count == module.file_count


def chunks(*sizes: int) -> Iterator[bytes]:
    for size in sizes:
        yield bytes(size)


def test_contents_stop_at_their_limits() -> None:
    contents = zips.Contents(PATH, VERSION)
    with pytest.raises(TooLarge, match=r"'go\.mod' is larger"):
        contents.take("go.mod", chunks(gomod.LARGEST, 1))
    assert contents.file_count == 0
    contents.unpacked_size = LARGEST - 1
    assert contents.take("a", chunks(1)) == 1
    with pytest.raises(TooLarge, match="unpacks to more"):
        contents.take("b", chunks(1))
