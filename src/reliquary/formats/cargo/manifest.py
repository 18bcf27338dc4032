"""A crate's Cargo.toml: read, and told in the JSON in which cargo tells of it when it publishes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from reliquary.errors import Malformed
from reliquary.formats.cargo.names import shown
from reliquary.formats.semver import BIGGEST, BUILD, NUMBER, WORD

LARGEST = 1_048_576
"""Bytes of a Cargo.toml."""

DEPTH = 12
"""Parts of a dotted key that are too many."""

COMPARATORS = 32
"""Of one requirement, as cargo counts them."""

NESTED = 64
"""Levels of one ``cfg(...)``."""

_T = TypeVar("_T")

# A key that is quoted begins at a quote that nothing escapes: within a long string not every quote is tried.
_PART = r"""(?:(?<![\w-])[\w-]++|(?<!\\)"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_DEEP = re.compile(rf"(?:{_PART}[ \t]*+\.[ \t]*+){{{DEPTH}}}", re.ASCII)
_RUST = re.compile(rf"{NUMBER}(?:\.{NUMBER}){{0,2}}")
_BEHIND = rf"(-(?:{WORD}|{NUMBER})(?:\.(?:{WORD}|{NUMBER}))*)?{BUILD}"
_COMPARATOR = re.compile(
    rf"(=|>=?|<=?|~|\^)? *({NUMBER})"
    rf"(?:(?:\.[*xX]){{1,2}}|\.({NUMBER})(?:\.[*xX]|\.({NUMBER}){_BEHIND})?)? *"
)
_TRIPLE = re.compile(r"[\w.-]+", re.ASCII)
_TOKEN = re.compile(r'([(),=])|("[^"]*")|((?:r#)?[A-Za-z_]\w*)| +', re.ASCII)


class Package(msgspec.Struct, frozen=True, rename="kebab"):
    """The table ``[package]`` (The Cargo Book, "The Manifest Format"); what it leaves out is None or empty."""

    name: str
    version: str
    authors: list[str] = []
    description: str | None = None
    documentation: str | None = None
    homepage: str | None = None
    readme: str | bool | None = None
    keywords: list[str] = []
    categories: list[str] = []
    license: str | None = None
    license_file: str | None = None
    repository: str | None = None
    links: str | None = None
    rust_version: str | None = None


class _Dependency(msgspec.Struct, frozen=True, rename="kebab"):
    version: str | None = None
    package: str | None = None
    features: list[str] = []
    optional: bool = False
    default_features: bool | None = None
    default_features_: bool | None = msgspec.field(default=None, name="default_features")
    registry_index: str | None = None
    artifact: str | list[str] | None = None
    target: str | None = None
    lib: bool = False
    public: bool = False
    path: str | None = None
    git: str | None = None


_Dependencies = dict[str, str | _Dependency]


class _Tables(msgspec.Struct, frozen=True, rename="kebab"):
    """The tables of dependencies; older manifests spell two of them with an underscore."""

    dependencies: _Dependencies = {}
    dev_dependencies: _Dependencies | None = None
    dev_dependencies_: _Dependencies | None = msgspec.field(default=None, name="dev_dependencies")
    build_dependencies: _Dependencies | None = None
    build_dependencies_: _Dependencies | None = msgspec.field(default=None, name="build_dependencies")

    def kinds(self) -> Iterator[tuple[str, _Dependencies]]:
        """The dependencies of each kind, in cargo's order."""
        yield "normal", self.dependencies
        yield "dev", _first(self.dev_dependencies, self.dev_dependencies_, {})
        yield "build", _first(self.build_dependencies, self.build_dependencies_, {})


class _Manifest(_Tables, frozen=True, rename="kebab"):
    target: dict[str, _Tables] = {}
    features: dict[str, list[str]] = {}
    badges: dict[str, dict[str, str]] = {}


class _Head(msgspec.Struct, frozen=True):
    package: Package | None = None
    project: Package | None = None


def read(data: bytes) -> dict[str, Any]:
    """A Cargo.toml's tables.

    Raises:
        Malformed: it is too large, not UTF-8, not TOML, or nested to tire its readers.
    """
    if len(data) > LARGEST:
        raise Malformed(f"the crate's Cargo.toml is larger than {LARGEST} bytes; move what it holds to files")
    try:
        text = data.decode("utf-8-sig")
        # The parser remembers every beginning of a dotted key: memory grows with the square of its parts.
        if _DEEP.search(text):
            raise Malformed(f"the crate's Cargo.toml has a key of {DEPTH} parts or more; nest less deeply")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Malformed("the crate's Cargo.toml is not UTF-8; save it as UTF-8 and pack again") from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the crate's Cargo.toml is not TOML ({shown(str(error))}); mend it and pack again") from error


def package(manifest: Mapping[str, Any]) -> Package:
    """What a manifest says of its package.

    Args:
        manifest: the tables of a normalised Cargo.toml, as `read` gives them.

    Raises:
        Malformed: a field is missing or of another type; a rust-version that is not ``N[.N[.N]]``.
    """
    head = _as(manifest, _Head)
    found = head.package or head.project  # the name that the table had before cargo 1.0
    if found is None:
        raise Malformed("the crate's Cargo.toml has no [package]; pack it with cargo package")
    if found.rust_version is not None and not _is_rust_version(found.rust_version):
        raise Malformed(f"rust-version {shown(found.rust_version)} is not a plain version; write one such as 1.70")
    return found


def told(
    manifest: Mapping[str, Any],
    *,
    default_registry: str | None = None,
    own: Collection[str] = (),
    readme: str | None = None,
    readme_file: str | None = None,
) -> dict[str, Any]:
    """What ``cargo publish`` would send as its JSON (The Cargo Book, "Registry Web API", "Publish").

    The normalised manifest names no registry for dependencies on the public one; cargo sends the address of its git
    index with them. A dependency that is ``public`` says so here, which cargo keeps to itself.

    Args:
        manifest: the tables of a normalised Cargo.toml, as `read` gives them.
        default_registry: what is sent of dependencies without a registry; None for that which is published to.
        own: index addresses of the registry that is published to; they are left out, as cargo leaves them out.
        readme: text of the README.
        readme_file: its path in the crate, else what the manifest says.

    Returns:
        The members that cargo sends, in its order, absent ones as it writes them.

    Raises:
        Malformed: a field is missing or of another type, or a requirement is none that cargo reads.
    """
    about = package(manifest)
    tables = _as(manifest, _Manifest)
    registries = _Registries(default_registry, own)
    named = about.readme if isinstance(about.readme, str) else None
    return {
        "name": about.name,
        "vers": about.version,
        "deps": [_dependency(*each, registries) for each in _dependencies(tables)],
        "features": tables.features,
        "authors": about.authors,
        "description": about.description,
        "documentation": about.documentation,
        "homepage": about.homepage,
        "readme": readme,
        "readme_file": named if readme_file is None else readme_file,
        "keywords": about.keywords,
        "categories": about.categories,
        "license": about.license,
        "license_file": about.license_file,
        "repository": about.repository,
        "badges": tables.badges,
        "links": about.links,
        "rust_version": about.rust_version,
    }


def requirement(text: str) -> str:
    """A version requirement as cargo writes it after reading it: ``1`` is ``^1``, ``>= 1,<2`` is ``>=1, <2``.

    Raises:
        Malformed: it is no requirement.
    """
    if text.strip(" ") in ("*", "x", "X"):
        return "*"
    parts = text.split(",", COMPARATORS + 1)
    found = [_COMPARATOR.fullmatch(part.lstrip(" ")) for part in parts]
    if len(found) > COMPARATORS or not all(each and _fit(each.group(2, 3, 4)) for each in found):
        raise Malformed(f"{shown(text)} is not a version requirement; write one such as 1.2 or >=1.2, <2")
    return ", ".join(_comparator(each) for each in found if each)


def platform(text: str) -> str:
    """A target as cargo writes it after reading it: a triple as it is, ``cfg( unix )`` as ``cfg(unix)``.

    Raises:
        Malformed: it is none.
    """
    if not (text.startswith("cfg(") and text.endswith(")")):
        if _TRIPLE.fullmatch(text):
            return text
        raise Malformed(f"{shown(text)} is not a target; write a triple or cfg(...)")
    tokens = [found[0] for found in _TOKEN.finditer(text, 3)]
    left = [token for token in reversed(tokens) if token.strip(" ")]
    try:
        _take(left, "(")
        found = _expression(left, 1)
        _take(left, ")")
        if left or len("".join(tokens)) != len(text) - 3:  # characters that no token has
            raise ValueError("rest")
    except (ValueError, IndexError) as error:
        raise Malformed(f"{shown(text)} is not a cfg that cargo reads; mend it and pack again") from error
    return f"cfg({found})"


def _expression(left: list[str], depth: int) -> str:
    """An expression, taken off the end of the tokens that are left."""
    name = left.pop()
    if depth > NESTED or not (name[0].isalpha() or name[0] == "_"):
        raise ValueError("name")
    if name == "not":
        _take(left, "(")
        inner = _expression(left, depth + 1)
        _take(left, ")")
        return f"not({inner})"
    if name in ("all", "any"):
        return f"{name}({', '.join(_several(left, depth))})"
    if left[-1] != "=":
        return name.removeprefix("r#") if name in ("r#true", "r#false") else name
    left.pop()
    value = left.pop()
    if value[0] != '"':
        raise ValueError("value")
    return f"{name} = {value}"


def _several(left: list[str], depth: int) -> Iterator[str]:
    _take(left, "(")
    while left[-1] != ")":
        yield _expression(left, depth + 1)
        if left[-1] != ")":
            _take(left, ",")
    left.pop()


def _take(left: list[str], token: str) -> None:
    if left.pop() != token:
        raise ValueError(token)


class _Registries(msgspec.Struct, frozen=True):
    default: str | None
    own: Collection[str]

    def named(self, index: str | None) -> str | None:
        """What is sent of a dependency's registry."""
        found = index or self.default
        return None if found in self.own else found


def _as(manifest: Mapping[str, Any], wanted: type[_T]) -> _T:
    try:
        return msgspec.convert(manifest, wanted)
    except msgspec.ValidationError as error:
        raise Malformed(f"the crate's Cargo.toml is not as cargo package writes it: {shown(str(error))}") from error


def _first(one: _T | None, other: _T | None, last: _T) -> _T:
    """The first that is there."""
    if one is not None:
        return one
    return last if other is None else other


def _is_rust_version(text: str) -> bool:
    return _RUST.fullmatch(text) is not None and _fit(text.split("."))


def _fit(numbers: Iterable[str | None]) -> bool:
    """Whether they are of 64 bits."""
    return all(each is None or (len(each) <= 20 and int(each) <= BIGGEST) for each in numbers)


def _comparator(found: re.Match[str]) -> str:
    sign, major, minor, patch, behind = found.group(1, 2, 3, 4, 5)
    if patch is not None:
        return f"{sign or '^'}{major}.{minor}.{patch}{behind or ''}"
    number = major if minor is None else f"{major}.{minor}"
    any_below = sign is None and found[0].rstrip(" ")[-1] in "*xX"
    return f"{number}.*" if any_below else f"{sign or '^'}{number}"


def _dependencies(tables: _Manifest) -> Iterator[tuple[str, str, str | None, _Dependency]]:
    """Name in the manifest, kind, target and what is said of each dependency; in cargo's order."""
    for text, group in [(None, tables), *sorted(tables.target.items())]:
        target = None if text is None else platform(text)
        for kind, table in group.kinds():
            for name, said in sorted(table.items()):
                dependency = _Dependency(version=said) if isinstance(said, str) else said
                if kind != "dev" or dependency.version is not None:
                    yield name, kind, target, dependency


def _dependency(name: str, kind: str, target: str | None, said: _Dependency, registries: _Registries) -> dict[str, Any]:
    if said.version is None and (said.path or said.git):
        raise Malformed(f"the dependency {shown(name)} has no version, only a place; write a version and pack again")
    default = _first(said.default_features, said.default_features_, True)
    found: dict[str, Any] = {
        "optional": said.optional,
        "default_features": default,
        "name": said.package or name,
        "features": said.features,
        "version_req": requirement(_first(said.version, None, "*")),
        "target": target,
        "kind": kind,
    }
    registry = registries.named(said.registry_index)
    renamed = name if said.package not in (None, name) else None
    return found | {key: value for key, value in _further(said, registry, renamed) if value}


def _further(said: _Dependency, registry: str | None, renamed: str | None) -> Iterator[tuple[str, object]]:
    """What is left out where it says nothing."""
    yield "registry", registry
    yield "explicit_name_in_toml", renamed
    if said.artifact:
        yield "artifact", [said.artifact] if isinstance(said.artifact, str) else said.artifact
        yield "bindep_target", said.target
        yield "lib", said.lib
    yield "public", said.public
