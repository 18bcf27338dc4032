"""A tarball looked at from the inside, and compared with what its publisher said of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from reliquary.errors import Malformed
from reliquary.formats.archives import tars
from reliquary.formats.npm import names
from reliquary.formats.npm.names import shown

LARGEST = 4 * 1_048_576
"""Bytes of a package.json."""

README = 65_536
"""Bytes of a README that are kept."""

INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
"""What clients run when they install a package from a registry."""

GYP = "node-gyp rebuild"
"""The install script of a package that has a .gyp file and says nothing of it."""

_README = re.compile(r"readme(?:\.[^/]*)?", re.IGNORECASE)
_MARKDOWN = re.compile(r"readme\.m(?:d|arkdown|kd|kdn)", re.IGNORECASE)
_BIN = re.compile(r"(?:\.[/\\])?node_modules[/\\]\.bin[\\/]")
_LIST = re.compile(r"[\s,]+")
_DEPENDENCY = re.compile(r"(@?+[^@\s><=]++)@?+(.*+)", re.DOTALL)
_SHORT = re.compile(r"(?:([a-z]+):)?([^/@:.\s#~][^/:@\s#]*/[^/:@\s#]+)(?:#(.*))?")
_URL = re.compile(r"(?:git\+)?(?:ssh|https?|git)://(?:[^@/]*@)?(?:www\.)?([^/:]+)(?::\d+)?[/:]([^#]+)(?:#(.*))?")
_SCP = re.compile(r"(?:[^@/:\s]+@)([^/:\s]+):([^#]+)(?:#(.*))?")


@dataclass(frozen=True, slots=True)
class Tarball:
    """What a tarball says of itself.

    Args:
        name: of the package.
        version: its identity, as `names.normal` gives it.
        manifest: its package.json.
        file_count: files in it.
        unpacked_size: bytes of them all.
        has_install_script: whether installing it runs something.
        has_shrinkwrap: whether it brings its own lock file.
        readme: the beginning of its README.
        readme_filename: the README's name.
    """

    name: str
    version: str
    manifest: dict[str, Any]
    file_count: int
    unpacked_size: int
    has_install_script: bool = False
    has_shrinkwrap: bool = False
    readme: str | None = None
    readme_filename: str | None = None


@dataclass(slots=True)
class _Found:
    """What one walk over the archive gathers."""

    count: int = 0
    size: int = 0
    manifest: tars.Member | None = None
    readme: tars.Member | None = None
    top: set[str] = field(default_factory=set)

    def enter(self, member: tars.Member) -> None:
        """Count a file, and keep what is told of it."""
        self.count += 1
        self.size += member.size
        name = _at_top(member.path)
        if name is None:
            return
        self.top.add(name)
        if name.lower() == "package.json":
            # Where two folders are unpacked into one, as npm does, the last file wins.
            if self.manifest or member.link is not None or name != "package.json":
                raise Malformed("the tarball has a second or a linked package.json; leave one plain file")
            self.manifest = member
        elif _README.fullmatch(name) and member.link is None and _better(member, self.readme):
            self.readme = member


def look(file: IO[bytes]) -> Tarball:
    """Look into a tarball; slow, for a thread.

    Args:
        file: gzip-compressed tar, seekable; its files lie in one folder, whatever that is called.

    Raises:
        Malformed: the message says what is wrong and what to do. Nothing else is raised.
    """
    found = _Found()
    for member in tars.members(file, _wanted, links=True):
        found.enter(member)
    manifest = _manifest(found)
    name, version = manifest.get("name"), manifest.get("version")
    normal = names.normal(version, loose=True) if isinstance(version, str) else None
    if not isinstance(name, str) or not names.valid(name.strip()):
        raise Malformed("the tarball's package.json has no name that a package can have; write name or @scope/name")
    if normal is None:
        raise Malformed("the tarball's package.json has no semantic version; write one such as 1.0.0")
    return Tarball(
        name=name.strip(),
        version=normal,
        manifest=manifest,
        file_count=found.count,
        unpacked_size=found.size,
        has_install_script=_runs_something(manifest, found.top),
        has_shrinkwrap="npm-shrinkwrap.json" in found.top,
        readme=_text(found.readme),
        readme_filename=_at_top(found.readme.path) if found.readme else None,
    )


def agree(manifest: Mapping[str, Any], tarball: Tarball) -> None:
    """Compare a publisher's manifest with the tarball's own, by what decides on an installation.

    npm, yarn, pnpm and bun mend the manifest that they send, not the file in the tarball; what they mend is the same
    here.

    Args:
        manifest: the version's object in the document that was sent.
        tarball: as `look` gave it.

    Raises:
        Malformed: the two differ in name, version, dependencies or what is run on installation.
    """
    name, version = manifest.get("name"), manifest.get("version")
    if not isinstance(name, str) or name.strip() != tarball.name:
        raise _differs("name", tarball.name)
    if not isinstance(version, str) or names.normal(version, loose=True) != tarball.version:
        raise _differs("version", tarball.version)
    _agree_on_dependencies(manifest, tarball.manifest)
    said, own = _install_scripts(manifest), _install_scripts(tarball.manifest)
    if said.get("install") == GYP and not {"install", "preinstall"} & set(own):
        # npm says this of a folder with a .gyp file, even where the tarball leaves that file out.
        del said["install"]
    if said != own:
        raise _differs("install scripts", ", ".join(f"{key}: {value}" for key, value in own.items()))


def _at_top(path: str) -> str | None:
    """The name of a file that lies in the first folder itself."""
    folder, _, name = path.partition("/")
    return name if folder and name and "/" not in name else None


def _wanted(path: str) -> int:
    name = _at_top(path)
    if name == "package.json":
        return LARGEST
    return README if name and _README.fullmatch(name) else 0


def _better(one: tars.Member, other: tars.Member | None) -> bool:
    """Whether a README is shown before another one: Markdown first, then the shortest name."""
    return other is None or _rank(one) < _rank(other)


def _rank(member: tars.Member) -> tuple[bool, int, str]:
    name = member.path.rpartition("/")[2]
    return not _MARKDOWN.fullmatch(name), len(name), name


def _text(member: tars.Member | None) -> str | None:
    """A README's text; where its end is not here, it is not cut within a character."""
    if member is None:
        return None
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    return decoder.decode(member.data, final=len(member.data) == member.size)


def _manifest(found: _Found) -> dict[str, Any]:
    if found.manifest is None:
        raise Malformed("the tarball has no package.json in its folder; pack it with npm pack")
    # Node reads over a byte order mark and over bytes that are not UTF-8.
    text = found.manifest.whole().decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        manifest = orjson.loads(text)
    except ValueError as error:
        raise Malformed("the tarball's package.json is not JSON; mend it and pack again") from error
    if not isinstance(manifest, dict):
        raise Malformed("the tarball's package.json is not a JSON object; mend it and pack again")
    return manifest


def _runs_something(manifest: Mapping[str, Any], top: set[str]) -> bool:
    scripts = _install_scripts(manifest)
    if scripts:
        return True
    return manifest.get("gypfile") is not False and any(name.endswith(".gyp") for name in top)


def _install_scripts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What is run on installation, without the folder that npm takes off."""
    scripts = manifest.get("scripts")
    if not isinstance(scripts, Mapping):
        return {}
    told = {key: scripts.get(key) for key in INSTALL_SCRIPTS}
    return {key: _BIN.sub("", text.strip()) for key, text in told.items() if isinstance(text, str) and text.strip()}


def _agree_on_dependencies(manifest: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """npm takes optional dependencies out of the others, old npm put them among the others: what counts is the union,
    and which are optional."""
    said_optional, own_optional = _specs(manifest, "optionalDependencies"), _specs(own, "optionalDependencies")
    said = _specs(manifest, "dependencies") | said_optional
    owned = _specs(own, "dependencies") | own_optional
    for name in sorted(said.keys() | owned.keys()):
        if _comparable(said.get(name)) != _comparable(owned.get(name)):
            raise _differs(f"dependency {shown(name)}", owned.get(name))
        if (name in said_optional) != (name in own_optional):
            raise _differs(f"optional dependency {shown(name)}", own_optional.get(name))


def _specs(manifest: Mapping[str, Any], key: str) -> dict[str, str]:
    """Names with their ranges; the list and the string of old packages are read as npm reads them."""
    value = manifest.get(key)
    if isinstance(value, str):
        value = _LIST.split(value.strip())
    if isinstance(value, list):
        pairs = [_DEPENDENCY.fullmatch(each.strip()) for each in value if isinstance(each, str)]
        return {pair[1]: pair[2].strip() for pair in pairs if pair}
    if not isinstance(value, Mapping):
        return {}
    return {name: spec.strip() for name, spec in value.items() if isinstance(spec, str)}


def _comparable(spec: str | None) -> tuple[str, ...] | str | None:
    """A range as it is; of an address in git, which npm writes anew, its host, path and revision."""
    if spec is None:
        return None
    if found := _SHORT.fullmatch(spec):
        return found[1] or "github", _path(found[2]), found[3] or ""
    found = _URL.fullmatch(spec) or _SCP.fullmatch(spec)
    if found is None:
        return spec
    path, _, revision = found[2].partition("/tree/")
    return found[1].lower(), _path(path), found[3] or revision


def _path(text: str) -> str:
    return text.strip("/").removesuffix(".git")


def _differs(what: str, own: object) -> Malformed:
    told = f"{own!s:.200}" if own else "none"
    return Malformed(
        f"the manifest and the tarball's package.json differ in {what}: the tarball says {shown(told)}; "
        "publish with the client that packs, not a manifest of its own"
    )
