from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO, TypeAlias, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed, Refused, TooLarge
from reliquary.formats.go import gomod, trees, zips
from reliquary.formats.go.zips import Module
from tests.formats.go import artefacts

PATH, VERSION = "example.com/demo", "v1.0.0"
MIB = 1_048_576
FILE, PROGRAM, LINK, FOLDER, GITLINK = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


Files: TypeAlias = Mapping[str, bytes | tuple[int, bytes]]


def source(files: Files) -> list[trees.Source]:
    """A tree of plain files, and of those with a mode."""
    pairs = [(path, each if isinstance(each, tuple) else (FILE, each)) for path, each in files.items()]
    return [(path, mode, partial(io.BytesIO, body)) for path, (mode, body) in pairs]


def built(
    files: Files,
    path: str = PATH,
    version: str = VERSION,
    *,
    subdir: str = "",
    committed: bool = False,
) -> tuple[dict[str, bytes], Module]:
    """What the zip holds, by name below its prefix; and what was told of it, which a look at the zip confirms."""
    sink = io.BytesIO()
    module = trees.build(sink, source(files), path, version, subdir=subdir, committed=committed)
    assert zips.look(sink, (path, version)) == module
    prefix = f"{path}@{version}/"
    with zipfile.ZipFile(sink) as archive:
        return {name.removeprefix(prefix): archive.read(name) for name in archive.namelist()}, module


def kept(names: Iterable[str], go: str | None = None, *, committed: bool = False) -> set[str]:
    """Which of these files belong to a module with, or without, a go.mod."""
    mod = {} if go is None else {"go.mod": artefacts.gomod(PATH, go=go or None)}
    return set(built({**dict.fromkeys(names, b"x"), **mod}, committed=committed)[0]) - {"go.mod"}


def test_a_tree_becomes_a_module() -> None:
    files = {"go.mod": artefacts.gomod(PATH), **artefacts.FILES}
    held, module = built(files)
    assert held == files
    assert module.h1 == artefacts.h1(artefacts.module_zip())
    assert (module.path, module.version, module.own_mod, module.file_count) == (PATH, VERSION, True, 3)
    zips.agree(module)


def test_a_tree_without_a_go_mod() -> None:
    held, module = built(artefacts.FILES, version="v2.0.0+incompatible")
    assert held == dict(artefacts.FILES)
    assert (module.own_mod, module.mod) == (False, b"module example.com/demo\n")


def test_the_same_tree_makes_the_same_bytes() -> None:
    tree = source({"go.mod": artefacts.gomod(PATH), "b/c": (PROGRAM, b"1"), "b.go": b"2", "é": b"3", "C": b"4"})
    first, second = io.BytesIO(), io.BytesIO()
    trees.build(first, tree, PATH, VERSION)
    trees.build(second, reversed(tree), PATH, VERSION)
    assert first.getvalue() == second.getvalue()


OLD = "h1:/6Rn8ZTMOU44VXOGWwFHhFgpqCvUz6DVYzYalwuCa4M="
NEW = "h1:xzP+Dbl8mDCCy/AIdvxzp2MJNhf9zlWeUKwFSDxOI1c="
NONE = "h1:UPWHEiWUygBUQYxkomjihIt2n+c9azHPFAJhPlYVqIs="
VENDORED = (
    "a.go",
    "vendor/modules.txt",
    "vendor/v.go",
    "vendor/a/b.go",
    "p/vendor/modules.txt",
    "p/vendor/v.go",
    "p/vendor/w/v.go",
    "longer/vendor/v.go",
    "p/q/vendor/v.go",
    "xvendor/a/b.go",
    "d/vendor/e/vendor/f.go",
    "vendor.go",
)
_ALWAYS = {"a.go", "vendor/v.go", "xvendor/a/b.go", "vendor.go"}


@pytest.mark.parametrize("go", [None, "", "1.9", "1.23", "1.23.12"])
def test_25_vendored_files_before_go_1_24(go: str | None) -> None:
    """The text after the first eight characters of the name counts: what lies deep enough is taken for vendored."""
    assert kept(VENDORED, go) == {*_ALWAYS, "vendor/modules.txt"}


@pytest.mark.parametrize("go", ["1.24", "1.24.1", "1.24rc1", "1.100", "2.0"])
def test_25_vendored_files_from_go_1_24_on(go: str) -> None:
    nested = {"p/vendor/modules.txt", "p/vendor/v.go", "longer/vendor/v.go", "p/q/vendor/v.go"}
    assert kept(VENDORED, go) == _ALWAYS | nested


@pytest.mark.parametrize(("go", "h1"), [("1.23", OLD), ("1.24", NEW), (None, NONE)])
def test_25_the_h1_is_that_of_the_go_command(go: str | None, h1: str) -> None:
    mod = {} if go is None else {"go.mod": artefacts.gomod(PATH, go=go)}
    files = {name: f"{name}\n".encode() for name in (*VENDORED, "sub/go.mod", "sub/x.go", ".git/HEAD", "LICENSE")}
    assert built({**files, **mod})[1].h1 == h1


@pytest.mark.parametrize("mod", [b"go 1.24\nmodule", b"module a\nrequire b main\ngo 1.24\n", b"\xef\xbb\xbfgo 1.24\n"])
def test_25_a_go_mod_that_cannot_be_read_says_no_version(mod: bytes) -> None:
    files = {"go.mod": mod, "p/vendor/v.go": b"", "vendor/modules.txt": b""}
    assert set(built(files)[0]) == {"go.mod", "vendor/modules.txt"}


@pytest.mark.parametrize("name", ["go.mod", "GO.MOD", "Go.Mod", "go.MOD"])
def test_24_nested_modules_are_left_out(name: str) -> None:
    names = ["a.go", f"sub/{name}", "sub/x.go", "sub/deep/y.go", "subs/z.go", "d/sub/w.go", f"d/e/{name}", "d/e/f/g.go"]
    assert kept(names) == {"a.go", "subs/z.go", "d/sub/w.go"}


def test_27_the_root_leaves_out_what_is_tagged_apart() -> None:
    files = {
        "go.mod": artefacts.gomod(PATH),
        "a.go": b"1",
        "dir/go.mod": artefacts.gomod(f"{PATH}/dir"),
        "dir/b.go": b"2",
        "dir/in/go.mod": artefacts.gomod(f"{PATH}/dir/in"),
        "dirs/c.go": b"3",
    }
    assert set(built(files)[0]) == {"go.mod", "a.go", "dirs/c.go"}
    held, module = built(files, f"{PATH}/dir", subdir="dir")
    assert held == {"go.mod": files["dir/go.mod"], "b.go": b"2"}
    zips.agree(module)
    assert built(files, f"{PATH}/dir", subdir="/dir/")[1] == module
    assert set(built(files, f"{PATH}/dir/in", subdir="dir/in")[0]) == {"go.mod"}


@pytest.mark.parametrize("name", ["GO.MOD", "Go.mod"])
def test_24_the_root_has_a_go_mod_in_lower_case(name: str) -> None:
    for mode in (FILE, LINK):
        with pytest.raises(Malformed, match="not in lower case"):
            built({name: (mode, b"module example.com/demo\n"), "a.go": b""})


def test_a_linked_go_mod_begins_no_module() -> None:
    held, module = built({"go.mod": (LINK, b"other"), "a.go": b"", "sub/go.mod": (LINK, b"x"), "sub/b.go": b""})
    assert set(held) == {"a.go", "sub/b.go"}
    assert not module.own_mod


def test_folders_of_version_control_are_left_out() -> None:
    names = [".git/HEAD", ".hg/x", "a/.svn/x", "a/.bzr/b/c", ".hg_archival.txt"]
    plain = {".gitignore", ".github/x", "a.git/x", "a/.hg_archival.txt", "b/.git", ".svnx/a"}
    assert kept([*names, *plain]) == plain
    assert kept([*names, *plain], committed=True) == {*names, *plain} - {".hg_archival.txt"}


def test_31_links_are_left_out() -> None:
    files: Files = {"a.go": b"1", "b.go": (LINK, b"a.go"), "dir": (LINK, b"/etc"), "c": (PROGRAM, b"2")}
    assert built(files)[0] == {"a.go": b"1", "c": b"2"}


def test_31_a_links_name_is_checked_all_the_same() -> None:
    """As the go command does."""
    for name in ("con", "a:b", "A.go"):
        with pytest.raises(Malformed, match=r"Windows|characters|case"):
            built({"a.go": b"", name: (LINK, b"a.go")})


def test_folders_and_other_repositories_are_left_out() -> None:
    files: Files = {
        "a.go": b"1",
        "a": (FOLDER, b""),
        "A.go": (GITLINK, b""),
        "b:c": (GITLINK, b""),
        "dev": (0o020600, b""),
    }
    assert built(files)[0] == {"a.go": b"1"}


LICENSED: Files = {"LICENSE": b"root", "sub/go.mod": artefacts.gomod(f"{PATH}/sub")}


@pytest.mark.parametrize(
    ("more", "license_"),
    [
        ({}, b"root"),
        ({"sub/LICENSE": b"own"}, b"own"),
        ({"sub/license": b"other"}, None),
        ({"sub/LICENSE.md": b"x"}, b"root"),
        ({"sub/LICENSE": (LINK, b"../LICENSE")}, None),
        ({"LICENSE": (LINK, b"COPYING")}, b"COPYING"),
        ({"LICENSE": (FOLDER, b"")}, None),
        ({"LICENSE": (GITLINK, b"")}, None),
    ],
)
def test_26_a_submodule_inherits_the_license(more: Files, license_: bytes | None) -> None:
    files = {**LICENSED, **more}
    if "sub/license" in more:
        with pytest.raises(Malformed, match="one file where case does not count"):
            built(files, f"{PATH}/sub", subdir="sub")
    else:
        assert built(files, f"{PATH}/sub", subdir="sub")[0].get("LICENSE") == license_


def test_26_a_root_without_a_license_inherits_none() -> None:
    assert "LICENSE" not in built({"a.go": b"", "sub/LICENSE": b"x"})[0]


def test_30_files_stay_as_they_are() -> None:
    files = {
        ".gitattributes": b"*.go export-ignore\n* export-subst\n",
        "a.go": b"package a // $Format:%H$ $Id$\r\n",
        "big.bin": b"version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n",
        "zeros": bytes(1000),
    }
    assert built(files, committed=True)[0] == files


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("con.go", "Windows"),
        ("a:b", "characters"),
        ("a\udcff", "characters"),
        ("e\u0301", "characters"),
        ("a.", "dot"),
        ("../a", "dot"),
        ("/a", "clean"),
        ("a//b", "clean"),
        ("", "clean"),
        ("./a", "dot"),
    ],
)
def test_23_names_that_are_refused(name: str, match: str) -> None:
    with pytest.raises(Malformed, match=match):
        built({"a.go": b"", name: b""})


@pytest.mark.parametrize("name", ["sub/con.go", "vendor/a/b:c"])
def test_names_of_files_that_are_left_out_do_not_matter(name: str) -> None:
    assert kept(["a.go", "sub/go.mod", name]) == {"a.go"}


def test_names_that_clash() -> None:
    with pytest.raises(Malformed, match="one file where case"):
        built({"a.go": b"", "A.go": b""})
    with pytest.raises(Malformed, match="both a file and a folder"):
        built({"a": b"", "a/b": b""})
    with pytest.raises(Malformed, match="twice"):
        trees.build(io.BytesIO(), [*source({"a": b""}), *source({"a": b""})], PATH, VERSION)


@pytest.mark.parametrize(("path", "version"), [(PATH, "v2.0.0"), (PATH, "v1.0"), ("corp/x", VERSION), (PATH, "main")])
def test_06_paths_and_versions_that_cannot_be(path: str, version: str) -> None:
    with pytest.raises(Malformed):
        built({"a.go": b""}, path, version)


def test_whose_go_mod_it_is_is_not_looked_at() -> None:
    """Forks for ``replace`` name the module that they stand for; `zips.agree` refuses them where one publishes."""
    module = built({"go.mod": b"module example.com/original\n"})[1]
    with pytest.raises(Malformed, match="they must agree"):
        zips.agree(module)


class Endless(io.RawIOBase):
    """Zeros, and no more of them than a length says."""

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, size: int = -1) -> bytes:
        step = min(self.left, size)
        self.left -= step
        return bytes(step)


@pytest.mark.parametrize(
    ("name", "size"), [("go.mod", gomod.LARGEST), ("LICENSE", zips.LARGEST_LICENSE), ("zeros", zips.LARGEST)]
)
def test_23_limits(name: str, size: int) -> None:
    opened: list[Endless] = []

    @contextmanager
    def opener() -> Iterator[IO[bytes]]:
        opened.append(Endless(size + 50 * MIB))
        yield cast("IO[bytes]", opened[-1])

    tracemalloc.start()
    with pytest.raises(TooLarge):
        trees.build(io.BytesIO(), [(name, FILE, opener)], PATH, VERSION)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert opened[-1].left >= 49 * MIB
    assert peak < 40 * MIB


NAMES = st.lists(
    st.sampled_from(
        ["a", "b.go", "go.mod", "GO.MOD", "vendor", "sub", ".git", "LICENSE", "con", "é", "A", "modules.txt"]
    ),
    min_size=1,
    max_size=4,
).map("/".join)
MODES = st.sampled_from([FILE, FILE, FILE, PROGRAM, LINK, FOLDER, GITLINK])


@given(st.dictionaries(NAMES, MODES, max_size=12), st.sampled_from(["", "sub", "a/sub"]), st.booleans(), st.randoms())
def test_what_is_built_is_what_is_taken(
    modes: dict[str, int], subdir: str, committed: bool, order: random.Random
) -> None:
    tree = source({name: (mode, name.encode()) for name, mode in modes.items()})
    order.shuffle(tree)
    sink = io.BytesIO()
    try:
        module = trees.build(sink, tree, PATH, VERSION, subdir=subdir, committed=committed)
    except Refused:
        return
    assert zips.look(sink, (PATH, VERSION)) == module
