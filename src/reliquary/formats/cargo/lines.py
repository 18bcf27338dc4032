"""Lines of an index: read, made of what cargo sends, judged before they are kept, and yanked.

The Cargo Book, "Index Format". A line that cargo cannot read is one that its users cannot use, and nobody is told why:
therefore every line that is made here is judged as cargo would judge it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import orjson

from reliquary.errors import Malformed
from reliquary.formats import semver
from reliquary.formats.cargo import names, syntax
from reliquary.formats.cargo.names import shown

LONGEST = 1_048_576
"""Bytes of a line."""
DEPENDENCIES = 1000
"""Dependencies of a version, all kinds together."""
FEATURES = 5000
"""Features of a version."""
SCHEMA = 3
"""The newest ``v``: 2 brought ``features2``, 3 artifact dependencies."""

_U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_KINDS = (None, "normal", "dev", "build")

_DIGEST = re.compile(r"[0-9a-f]{64}")

_STRING = r'"(?:[^"\\]++|\\.)*+"'
_JSON_TOKEN = re.compile(rf"({_STRING})|([{{\[])|([}}\]])|[:,]|[^\s\"{{}}\[\]:,]++", re.DOTALL)


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency as a line has it: ``name`` is the alias of a renamed one, whose own name is ``package``."""

    name: str
    req: str
    features: list[str] = []
    optional: bool = False
    default_features: bool = True
    target: str | None = None
    kind: str | None = None
    registry: str | None = None
    package: str | None = None
    public: bool | None = None
    artifact: list[str] | None = None
    bindep_target: str | None = None
    lib: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A version as any index may tell it; what is not of cargo's schema is passed over."""

    name: str
    vers: str
    deps: list[Dependency]
    cksum: str
    features: dict[str, list[str]] = {}
    yanked: bool | None = False
    links: str | None = None
    v: _U32 | None = 1
    features2: dict[str, list[str]] | None = None
    rust_version: str | None = None
    pubtime: str | None = None


class ToldDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency as a client tells it: ``name`` is always the crate's own."""

    name: str
    version_req: str
    features: list[str] | None = None
    optional: bool | None = None
    default_features: bool | None = None
    target: str | None = None
    kind: str | None = None
    registry: str | None = None
    explicit_name_in_toml: str | None = None
    public: bool | None = None
    artifact: list[str] | None = None
    bindep_target: str | None = None
    lib: bool | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a client tells of a version when it publishes one (the Book, "Registry Web API", Publish)."""

    name: str
    vers: str
    deps: list[ToldDependency] | None = None
    features: dict[str, list[str]] | None = None
    features2: dict[str, list[str]] | None = None
    v: int | None = None
    authors: list[str] | None = None
    description: str | None = None
    documentation: str | None = None
    homepage: str | None = None
    readme: str | None = None
    readme_file: str | None = None
    keywords: list[str] | None = None
    categories: list[str] | None = None
    license: str | None = None
    license_file: str | None = None
    repository: str | None = None
    badges: dict[str, dict[str, str]] | None = None
    links: str | None = None
    rust_version: str | None = None


_LINE = msgspec.json.Decoder(Line)


def judge(told: Mapping[str, Any]) -> Told:
    """What a client tells, with every member of the kind it must be; others are passed over, missing ones are None.

    Raises:
        Malformed: the message names the member.
    """
    try:
        found = msgspec.convert(told, Told)
    except msgspec.ValidationError as error:
        raise Malformed(f"the metadata has not the form that cargo sends: {error}") from error
    _check_texts(msgspec.to_builtins(found))
    if found.v is not None and not 1 <= found.v <= SCHEMA:
        raise Malformed(f"the metadata is of schema {found.v}; known are 1 to {SCHEMA}")
    return found


def build(
    told: Mapping[str, Any],
    *,
    cksum: str,
    index_url: str,
    published: datetime,
    rust_version: str | None,
    links: str | None,
) -> str:
    """Make the line of a new version.

    Args:
        told: the JSON that cargo sends, or the like of it made of a manifest.
        cksum: SHA-256 of the .crate, hexadecimal.
        index_url: this repository's own index, with or without ``sparse+`` and a final slash.
        published: when, with a time zone; kept to the second.
        rust_version: the least version of Rust, without an operator.
        links: the native library, as the manifest names it.

    Returns:
        One compact JSON object without a line end, that `check` finds right.

    Raises:
        Malformed: cargo could not read the line, or it would be larger than is kept.
    """
    found = judge(told)
    deps = found.deps or []
    if len(deps) > DEPENDENCIES:
        raise Malformed(f"a version has at most {DEPENDENCIES} dependencies, this one has {len(deps)}")
    own = syntax.address(index_url)
    members: dict[str, Any] = {
        "name": found.name,
        "vers": found.vers,
        "deps": [_dependency(dep, own) for dep in deps],
        "cksum": cksum,
        "features": found.features or {},
        "yanked": False,
        "links": links,
        "v": _schema(found),
    }
    if found.features2 is not None:
        members["features2"] = found.features2
    members["rust_version"] = rust_version
    members["pubtime"] = published.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    try:
        line = orjson.dumps(members).decode()
    except TypeError as error:
        raise Malformed("rust_version or links holds a character that cannot be kept") from error
    check(line)
    return line


def _dependency(dep: ToldDependency, own: str) -> dict[str, Any]:
    renamed = dep.explicit_name_in_toml is not None
    members: dict[str, Any] = {
        "name": dep.explicit_name_in_toml if renamed else dep.name,
        "req": dep.version_req,
        # Cargo once sent empty ones, and passes over them where it reads them.
        "features": [feature for feature in dep.features or () if feature],
        "optional": bool(dep.optional),
        "default_features": dep.default_features is not False,
        "target": dep.target,
        "kind": dep.kind or "normal",
        "registry": None if dep.registry is None or syntax.address(dep.registry) == own else dep.registry,
        "package": dep.name if renamed else None,
    }
    # A cargo that does not know artifacts refuses none of these, but `lib` may not be null.
    more = {key: getattr(dep, key) for key in ("public", "artifact", "bindep_target", "lib")}
    return members | {key: value for key, value in more.items() if value is not None}


def _schema(told: Told) -> int:
    """The oldest schema that a version can be read by (the Book, "Index Format", ``v``)."""
    artifacts = any(dep.artifact is not None for dep in told.deps or ())
    return max(told.v or 1, 2 if told.features2 is not None else 1, 3 if artifacts else 1)


def check(line: str) -> None:
    """Refuse a line that cargo would not read; each reason is told in words.

    Features that name what is not there, and a library that two crates link, are left to cargo.

    Raises:
        Malformed: cargo would hide the version, or the line is larger than is kept.
    """
    if (size := len(line.encode(errors="replace"))) > LONGEST:
        raise Malformed(
            f"the version's index line would have {size} bytes, and may have {LONGEST}; name fewer features"
        )
    found = _decoded(line)
    if not names.valid(found.name):
        raise Malformed(f"{shown(found.name)} is not the name of a crate")
    if semver.parse(found.vers) is None:
        raise Malformed(f"{shown(found.vers)} is not a version; write one such as 1.0.0 (semver 2.0.0)")
    if not _DIGEST.fullmatch(found.cksum):
        raise Malformed("the checksum is not a SHA-256 in 64 small hexadecimal digits")
    if found.rust_version is not None and not syntax.rust_version(found.rust_version):
        raise Malformed(f"the rust_version {shown(found.rust_version)} is not one such as 1.70, without an operator")
    if found.pubtime is not None and not syntax.pubtime(found.pubtime):
        raise Malformed(f"the pubtime {shown(found.pubtime)} is not of the form 2025-01-31T09:05:00Z")
    if found.features2 is not None and (found.v or 1) < 2:
        raise Malformed("a line with features2 needs a v of 2, or older cargos misread it")
    if len(found.deps) > DEPENDENCIES:
        raise Malformed(f"a version has at most {DEPENDENCIES} dependencies, this one has {len(found.deps)}")
    for dep in found.deps:
        _check_dependency(dep)
    _check_features(found.features)
    _check_features(found.features2 or {})


def _decoded(line: str) -> Line:
    if "\n" in line:
        raise Malformed("a line of an index may not have line ends in it")
    try:
        found = _LINE.decode(line)
        whole = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the index line breaks cargo's schema: {error}") from error
    _check_texts(whole)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are each there once: cargo reads no other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member is there twice")
    return found


def _check_dependency(dep: Dependency) -> None:
    crate, said = dep.name if dep.package is None else dep.package, f"the dependency {shown(dep.name)}"
    if not names.valid(crate):
        raise Malformed(f"{said} is on {shown(crate)}, which is not the name of a crate")
    if dep.package is not None and not syntax.alias(dep.name):
        raise Malformed(f"{said} renames {crate} to what is no name; use letters, digits, '-' and '_'")
    if not syntax.requirement(dep.req):
        raise Malformed(f"{said} has the requirement {shown(dep.req)}; write one such as ^1.2, >=1, <3 or *")
    if dep.kind not in _KINDS:
        raise Malformed(f"{said} is of the kind {shown(str(dep.kind))}; known are normal, dev and build")
    if dep.kind == "dev" and dep.optional:
        raise Malformed(f"{said} is optional, which no dependency for development can be")
    if dep.target is not None and not syntax.target(dep.target):
        raise Malformed(
            f"{said} is for {shown(dep.target)}, which is neither cfg(...) nor a target such as x86_64-linux"
        )
    if dep.registry is not None and not syntax.registry(dep.registry):
        raise Malformed(
            f"{said} is from {shown(dep.registry)}, which is not the URL of an index; sparse+ ones end in /"
        )
    if not syntax.artifacts(dep.artifact or ()) or dep.bindep_target == "":
        raise Malformed(f"{said} is on other artifacts than bin, bin:name, cdylib and staticlib, or for no target")
    for feature in dep.features:
        if feature and not syntax.feature_use(feature):
            raise Malformed(f"{said} asks for the feature {shown(feature)}, which cannot be the name of one")


def _check_features(features: Mapping[str, list[str]]) -> None:
    if len(features) > FEATURES:
        raise Malformed(f"a version has at most {FEATURES} features, this one has {len(features)}")
    for name, uses in features.items():
        if not syntax.feature(name):
            raise Malformed(f"{shown(name)} cannot name a feature; use letters, digits, '_', '-', '+' and '.'")
        for use in uses:
            if not syntax.feature_use(use):
                raise Malformed(f"the feature {shown(name)} names {shown(use)}, which is no feature or dependency")


def with_yanked(line: str, yanked: bool) -> str:
    """The line with another ``yanked``: every other byte is as it was, unknown members included.

    Args:
        line: one JSON object, with or without spaces between its members.

    Raises:
        Malformed: it is no JSON object.
    """
    word, at, pieces, there = json.dumps(yanked), 0, [], False
    for start, stop in _values(line, "yanked"):
        there = True
        if (line[start:stop] == "true") != yanked:
            pieces += [line[at:start], word]
            at = stop
    changed = "".join(pieces) + line[at:]
    if there or not yanked:
        return changed
    body, brace, end = changed.rpartition("}")
    if not brace:
        raise Malformed("a line of an index is one JSON object")
    return f'{body},"yanked":{word}{brace}{end}'


def _values(line: str, member: str) -> Iterator[tuple[int, int]]:
    """Where the plain values of a member of the outermost object are."""
    depth, key, before = 0, "", ""
    for found in _JSON_TOKEN.finditer(line):
        token = found[0]
        if depth == 1 and found[1] and before in ("{", ","):
            key = json.loads(token)
        elif depth == 1 and before == ":" and key == member and not found[2]:
            yield found.span()
        depth += 1 if found[2] else -1 if found[3] else 0
        before = token


def _check_texts(value: object) -> None:
    """Refuse what databases and UTF-8 have no place for."""
    for text in _texts(value):
        if "\0" in text or not _encodes(text):
            raise Malformed(f"the metadata holds a text with a character that cannot be kept: {shown(text)}")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
