"""Module zips built from source trees, so that their h1 is the one that the go command computes from the same tree."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO, TypeAlias

from reliquary.errors import Malformed, TooLarge
from reliquary.formats.go import gomod
from reliquary.formats.go.names import shown
from reliquary.formats.go.zips import LARGEST, Contents, Module, check_identity, check_mod_name

Opener: TypeAlias = Callable[[], AbstractContextManager[IO[bytes]]]
"""Opens a file of the tree; a link's bytes are its target, as git keeps them."""

Source: TypeAlias = tuple[str, int, Opener]
"""A path below the tree's root, its mode (of ``st_mode``, or of git), its bytes."""

MEMBERS = 100_000
"""Files of a tree."""

_VCS = frozenset({".bzr", ".git", ".hg", ".svn"})
_GITLINK = 0o160000
"""git's mode of another repository in its place: an empty folder in archives."""
_CHUNK = 262_144
_DATE = (1980, 1, 1, 0, 0, 0)
_GO = re.compile(r"([0-9]+)\.([0-9]+)")


def build(
    sink: IO[bytes],
    tree: Iterable[Source],
    path: str,
    version: str,
    *,
    subdir: str = "",
    committed: bool = False,
) -> Module:
    """Build the canonical zip of a module (go.md, section 4, "Building from a tree"); slow, for a thread.

    The same tree makes the same bytes, whatever its order. Openers are called one after the other, in the order of
    the paths; that of the go.mod first, and once more.

    Args:
        sink: where the zip goes, from its start; seekable.
        tree: the files; folders may be among them.
        path, version: of the module; the version canonical.
        subdir: the folder of the module in the tree, ``""`` for the root. Without a LICENSE it gets the root's.
        committed: the tree is what git keeps: a folder such as ``.svn`` in it is a part of the module, as it is for
            the go command.

    Raises:
        Malformed: the path, the version or a name is wrong; the message says what to do. Whether the go.mod is that
            of this module is not looked at: `zips.agree` does it.
        TooLarge: the zip, its content, the go.mod or the LICENSE passes its limit.
    """
    check_identity(path, version)
    files = _chosen(_below(tree, subdir.strip("/")), committed)
    contents = Contents(path, version)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, opener in files.items():
            _write(archive, contents, name, opener)
            if sink.tell() > LARGEST:
                raise _too_large()
    if sink.tell() > LARGEST:
        raise _too_large()
    return contents.module()


def is_vendored(name: str, *, modern: bool) -> bool:
    """Whether a file is of a vendored package, and no part of the module.

    Args:
        name: below the module's root.
        modern: by the rule of modules whose go.mod says ``go 1.24`` or higher; published h1 depend on the old one's
            mistake with nested folders (golang/go#37397).
    """
    if modern and name == "vendor/modules.txt":
        return True
    if name.startswith("vendor/"):
        return "/" in name[len("vendor/") :]
    at = name.find("/vendor/")
    if at < 0:
        return False
    return "/" in name[(at if modern else 0) + len("/vendor/") :]


def _too_large() -> TooLarge:
    return TooLarge(f"the module's zip is larger than {LARGEST} bytes, which the go command refuses; leave files out")


def _below(tree: Iterable[Source], subdir: str) -> dict[str, tuple[int, Opener]]:
    """The module's files by name, folders left out, in the order of their bytes; with the LICENSE that it inherits."""
    top = f"{subdir}/" if subdir else ""
    found: dict[str, tuple[int, Opener]] = {}
    inherited: Opener | None = None
    for path, mode, opener in tree:
        if stat.S_IFMT(mode) in (stat.S_IFDIR, _GITLINK):
            continue
        if path == "LICENSE":
            inherited = opener
        if path.startswith(top):
            name = path.removeprefix(top)
            if name in found:
                raise Malformed(f"the tree has {shown(path)} twice")
            found[name] = mode, opener
            if len(found) > MEMBERS:
                raise Malformed(f"the module has more than {MEMBERS} files; leave some out")
    if subdir and inherited:
        # A link of this name counts as one, and is left out afterwards; an inherited link becomes a file.
        found.setdefault("LICENSE", (stat.S_IFREG, inherited))
    return dict(sorted(found.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape")))


def _chosen(found: Mapping[str, tuple[int, Opener]], committed: bool) -> dict[str, Opener]:
    """The files that belong into the zip; the others are looked at only where the go command does so, too."""
    nested = {_folder(name) for name, (mode, _) in found.items() if _is_mod(name) and stat.S_ISREG(mode)}
    modern = _is_modern(found.get("go.mod"))
    names = Contents("", "")
    chosen: dict[str, Opener] = {}
    for name, (mode, opener) in found.items():
        if is_vendored(name, modern=modern) or any(folder in nested for folder in _folders(name)):
            continue
        if name == ".hg_archival.txt" or (not committed and any(_VCS.intersection(name.split("/")[:-1]))):
            continue
        names.enter(name)
        if "/" not in name:
            check_mod_name(name)
        if stat.S_ISREG(mode):
            chosen[name] = opener
    return chosen


def _is_mod(name: str) -> bool:
    return "/" in name and name.rpartition("/")[2].lower() == "go.mod"


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _folders(name: str) -> Iterator[str]:
    """The folders that a file is in, the nearest first."""
    while folder := _folder(name):
        yield folder
        name = folder


def _is_modern(mod: tuple[int, Opener] | None) -> bool:
    """Whether the go.mod says ``go 1.24`` or higher."""
    if mod is None or not stat.S_ISREG(mod[0]):
        return False
    with mod[1]() as file:
        data = file.read(gomod.LARGEST + 1)
    try:
        found = _GO.match(gomod.read(data).go or "")
    except Malformed:
        return False
    return found is not None and (int(found[1]), int(found[2])) >= (1, 24)


def _write(archive: zipfile.ZipFile, contents: Contents, name: str, opener: Opener) -> None:
    member = zipfile.ZipInfo(contents.prefix + name, _DATE)
    member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, 3
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    with opener() as file, archive.open(member, "w") as packed:
        contents.take(name, _chunks(file), packed.write)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
