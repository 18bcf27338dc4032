"""Project names, versions and artefact file names (PEP 503, 440, 427, 625), strict and lenient."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256 as hash_sha256

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

SUFFIXES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".egg", ".exe", ".tar.xz", ".tgz", ".msi", ".rpm")
LONGEST = 300

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_RUN = re.compile(r"[-_.]+")
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_NORMAL = re.compile(
    rf"{_NUMBER}(?:\.{_NUMBER})*+(?:(?:a|b|rc){_NUMBER})?(?:\.post{_NUMBER})?(?:\.dev{_NUMBER})?(?:\+[a-z][a-z0-9]*+)?"
)
"""Versions whose normal form is their own text: nearly all that there are."""
_BUILT_FOR = re.compile(
    r"[.-](?:win32|win-\w+|linux-\w+|macosx-[\w.]+-\w+|noarch|src|x86_64|i[3-6]86)(?:-py\d[\d.]*)?$"
)
_RPM_RELEASE = re.compile(r"-\d+$")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def normalise(name: str) -> str:
    """Lower case, each run of ``-``, ``_``, ``.`` one ``-`` (PEP 503)."""
    return _RUN.sub("-", name).lower()


def valid_name(name: str) -> str | None:
    """The normal form of a project name, or None for text that cannot be one (PEP 508).

    The raw text is checked before it is lowered: some letters outside ASCII have an ASCII lower case.
    """
    return normalise(name) if len(name) <= LONGEST and _NAME.fullmatch(name) else None


def is_normal(name: str) -> bool:
    """Whether a text is a project name in normal form."""
    return valid_name(name) == name


def normal_version(text: str) -> str:
    """A version in its normal form (PEP 440), or as it is where it does not parse."""
    if _NORMAL.fullmatch(text):
        return text
    try:
        return str(Version(text))
    except InvalidVersion:
        return text


_normal_version = lru_cache(maxsize=256)(normal_version)
"""The wheels of one release stand together. Only for parts of file names, which are short."""


def same_version(one: str, other: str) -> bool:
    """Whether two texts name the same version: ``1.0`` and ``1.0.0`` do."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def safe_filename(filename: str) -> bool:
    """Whether a text can be the last segment of an address and a file name on any system."""
    return (
        0 < len(filename) <= LONGEST
        and filename.isprintable()
        and "/" not in filename
        and "\\" not in filename
        and filename not in (".", "..")
    )


def is_artefact(filename: str) -> bool:
    """Whether a file name ends like a package file and can be served as one."""
    return filename.lower().endswith(SUFFIXES) and safe_filename(filename)


def stem(filename: str) -> str:
    """The file name without its package suffix."""
    if filename.endswith(".whl"):
        return filename[:-4]
    lowered = filename.lower()
    for suffix in SUFFIXES:
        if lowered.endswith(suffix):
            return filename[: -len(suffix)]
    return filename


def release_of(filename: str) -> tuple[str, str] | None:
    """Normal name and version of a wheel or source distribution whose file name follows the
    specifications; None for any other file."""
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        elif filename.endswith((".tar.gz", ".zip")):
            name, version = parse_sdist_filename(filename)
        else:
            return None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return (str(name), str(version)) if safe_filename(filename) and is_normal(name) else None


def version_in(filename: str, project: str) -> str | None:
    """The version a file name carries for a project, leniently, or None when the file is of
    another project.

    Args:
        filename: an artefact's name, legacy forms included.
        project: the project's normal name.
    """
    bare = stem(filename)
    if filename.endswith(".whl") or filename.lower().endswith((".whl", ".egg")):
        name, _, rest = bare.partition("-")
        version = rest.partition("-")[0]
        return _normal_version(version) if version and _names(name, project) else None
    if bare.startswith(project + "-"):
        return _plain_version(bare[len(project) + 1 :], filename) or None
    for cut in reversed([at for at, sign in enumerate(bare) if sign == "-"]):
        if _names(bare[:cut], project):
            return _plain_version(bare[cut + 1 :], filename) or None
    return None


def _names(text: str, project: str) -> bool:
    """Whether a text has this normal form; most do by their underscores alone."""
    return text == project or text.replace("_", "-") == project or normalise(text) == project


def _plain_version(text: str, filename: str) -> str:
    """A legacy version, normal, without the platform that old built distributions append."""
    if _NORMAL.fullmatch(text):
        return text
    text = _BUILT_FOR.sub("", text)
    return normal_version(_RPM_RELEASE.sub("", text) if filename.lower().endswith(".rpm") else text)


def file_path(project: str, filename: str, sha256: str | None, url: str = "") -> str:
    """The key of a file below the repository.

    Where no digest is known, a hash of the address stands in its place, in a form that no
    digest has.
    """
    place = sha256 or "u-" + hash_sha256(url.split("#", 1)[0].encode("utf-8", "replace")).hexdigest()[:32]
    return f"files/{project}/{place}/{filename}"


def is_place(segment: str) -> bool:
    """Whether a path segment has the form that `file_path` puts before the file name."""
    return bool(_SHA256.fullmatch(segment) or re.fullmatch(r"u-[0-9a-f]{32}", segment))
