"""A .crate looked at from the inside, and compared with what its publisher said of it."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from reliquary.errors import Malformed
from reliquary.formats import semver
from reliquary.formats.archives import tars
from reliquary.formats.cargo import manifest as manifests
from reliquary.formats.cargo import names
from reliquary.formats.cargo.names import shown

UNPACKED = 512 * 1_048_576
"""Bytes of all files: cargo unpacks no more."""

README = 262_144
"""Bytes of a README that are kept."""

READMES = ("README.md", "README.txt", "README")
"""What cargo takes for the README where the manifest names none, the first one first."""

_MANIFEST = "Cargo.toml"


@dataclass(frozen=True, slots=True)
class Crate:
    """What a .crate says of itself.

    Args:
        name: of the package, as it is spelled.
        version: semver, build metadata included.
        manifest: the tables of its Cargo.toml.
        readme: the beginning of its README's text.
        readme_file: the README's path below the top folder.
        file_count: files in it.
        unpacked_size: bytes of them all.
        rust_version: the oldest compiler it builds with, ``N[.N[.N]]``.
        links: the native library that it links to.
    """

    name: str
    version: str
    manifest: dict[str, Any]
    readme: str | None
    readme_file: str | None
    file_count: int
    unpacked_size: int
    rust_version: str | None = None
    links: str | None = None


@dataclass(slots=True)
class _Found:
    """What one walk over the archive gathers."""

    folder: str | None = None
    count: int = 0
    size: int = 0
    manifest: tars.Member | None = None
    readmes: dict[str, tars.Member] = field(default_factory=dict)

    def enter(self, member: tars.Member) -> None:
        """Count a file, and keep what is told of it."""
        folder, _, name = member.path.partition("/")
        if not name or self.folder not in (None, folder):
            raise Malformed(f"{shown(member.path)} lies outside of the crate's one folder; pack it with cargo package")
        self.folder = folder
        self.count += 1
        self.size += member.size
        if self.size > UNPACKED:
            raise Malformed(f"the crate unpacks to more than {UNPACKED} bytes, which cargo refuses; leave files out")
        if name.lower() == _MANIFEST.lower():
            if self.manifest or name != _MANIFEST:
                raise Malformed("the crate has a second Cargo.toml, or one spelled otherwise; leave one Cargo.toml")
            self.manifest = member
        elif name in READMES:
            self.readmes[name] = member


def look(file: IO[bytes]) -> Crate:
    """Look into a .crate; slow, for a thread.

    Args:
        file: gzip-compressed tar, seekable; its files lie in one folder, ``{name}-{version}``.

    Raises:
        Malformed: the message says what is wrong and what to do. Nothing else is raised.
    """
    found = _Found()
    for member in tars.members(file, _wanted):
        found.enter(member)
    if found.manifest is None:
        raise Malformed("the crate has no Cargo.toml in its folder; pack it with cargo package")
    manifest = manifests.read(found.manifest.whole())
    package = manifests.package(manifest)
    _check_identity(package, found.folder)
    readme = _readme(file, package.readme, found)
    return Crate(
        name=package.name,
        version=package.version,
        manifest=manifest,
        readme=_text(readme) if readme else None,
        readme_file=readme.path.partition("/")[2] if readme else None,
        file_count=found.count,
        unpacked_size=found.size,
        rust_version=package.rust_version,
        links=package.links,
    )


def agree(told: Mapping[str, Any], crate: Crate) -> None:
    """Compare the JSON that came with a crate with the crate's own Cargo.toml.

    Args:
        told: the JSON of a publish body; ``name`` and ``vers`` are compared, letter by letter.
        crate: as `look` gave it.

    Raises:
        Malformed: the two differ.
    """
    for key, own in (("name", crate.name), ("vers", crate.version)):
        if told.get(key) != own:
            raise Malformed(
                f"{key} is {shown(str(told.get(key)))} in what was sent, and {shown(own)} in the crate's Cargo.toml; "
                "publish with cargo"
            )


def _wanted(path: str) -> int:
    name = path.partition("/")[2]
    if name == _MANIFEST:
        return manifests.LARGEST
    return README if name in READMES else 0


def _check_identity(package: manifests.Package, folder: str | None) -> None:
    if not names.valid(package.name):
        raise Malformed(
            f"{shown(package.name)} in the crate's Cargo.toml is no name; write letters, digits, '-' and '_'"
        )
    if semver.parse(package.version) is None:
        raise Malformed(f"{shown(package.version)} in the crate's Cargo.toml is no version; write one such as 1.0.0")
    if folder != f"{package.name}-{package.version}":
        raise Malformed(
            f"the crate's folder is {shown(folder or '')}, its Cargo.toml says {shown(package.name)} "
            f"{shown(package.version)}; pack it with cargo package"
        )


def _readme(file: IO[bytes], named: str | bool | None, found: _Found) -> tars.Member | None:
    """The file that the manifest names, else the first of `READMES`."""
    if named is False:
        return None
    if named is None:
        return next((found.readmes[name] for name in READMES if name in found.readmes), None)
    name = posixpath.normpath(named) if isinstance(named, str) else READMES[0]
    if name in READMES:
        return found.readmes.get(name)
    # It may lie in front of the manifest that names it: it takes a second walk.
    path = f"{found.folder}/{name}"
    walk = tars.members(file, lambda each: README if each == path else 0)
    return next((member for member in walk if member.path == path), None)


def _text(member: tars.Member) -> str:
    """A README's text; where its end is not here, it is not cut within a character."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    return decoder.decode(member.data, final=len(member.data) == member.size)
