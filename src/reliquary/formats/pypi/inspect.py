"""Artefacts looked at from the inside: an uploaded wheel or source distribution becomes a Release."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from typing import IO

from reliquary.errors import Malformed, NotHere
from reliquary.formats.archives import tars, zips
from reliquary.formats.archives.zips import shown
from reliquary.formats.pypi import names
from reliquary.formats.pypi.metadata import LARGEST, Release, release

_RECORD = 32 * 1_048_576
_SMALL = 1_048_576
_HASHED = 4 * 1024 * 1_048_576
_CHUNK = 1_048_576
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")
_PLATFORM = re.compile(
    r"any|win32|win_\w+|(?:linux|macosx|manylinux\d*|musllinux|android|ios|pyodide|pyemscripten|emscripten|wasi"
    r"|freebsd|netbsd|openbsd|dragonfly|solaris|sunos|aix|cygwin|mingw)_\w+"
)
_REFERENCE = re.compile(r"[\w.]+\s*(?::\s*[\w.]+)?\s*(?:\[[^\]]*\])?")


def inspect(filename: str, file: IO[bytes], *, strict: bool = True) -> Release:
    """Look into an artefact and compare it with its file name.

    Args:
        filename: as it is published; wheels by PEP 427, source distributions by PEP 625.
        file: its bytes, seekable.
        strict: also check RECORD's hashes, licence files, entry points, tags.

    Raises:
        Malformed: the message says what is wrong and what to do. Nothing else is raised.
    """
    expected = names.release_of(filename)
    if expected is None:
        raise Malformed(
            f"{shown(filename)} is not the name of a wheel or a source distribution: "
            "send {name}-{version}-{tags}.whl or {name}-{version}.tar.gz as the build tool wrote it"
        )
    found = _wheel(filename, file, strict) if filename.endswith(".whl") else _sdist(filename, file, strict)
    if (found.name, found.version) != expected and not (
        found.name == expected[0] and names.same_version(found.version, expected[1])
    ):
        raise Malformed(
            f"{shown(filename)} says {expected[0]} {expected[1]}, its metadata says {found.name} {found.version}: "
            "build it again, do not rename it"
        )
    return found


def extract_metadata(file: IO[bytes], name: str = "") -> bytes:
    """A wheel's METADATA bytes (PEP 658), found also where the folder's name is not normalised.

    Args:
        file: the wheel, seekable.
        name: the project's normal name, to choose where a wheel carries foreign folders too.

    Raises:
        NotHere: there is none, or the file is no readable wheel.
    """
    try:
        archive = zipfile.ZipFile(file)
        found = [path for path in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", path)]
        own = [path for path in found if names.normalise(path.partition("-")[0]) == name]
        if len(own or found) != 1:
            raise NotHere("the wheel has no METADATA")
        return zips.read_member(archive, (own or found)[0], LARGEST)
    except (*zips.BROKEN, Malformed) as error:
        raise NotHere("the wheel cannot be read") from error


def _wheel(filename: str, file: IO[bytes], strict: bool) -> Release:
    archive = zips.strict(file)
    paths = [member.filename for member in archive.infolist() if not member.is_dir()]
    folder = _dist_info(paths, filename)
    for name in ("METADATA", "WHEEL", "RECORD"):
        if f"{folder}/{name}" not in paths:
            raise Malformed(f"the wheel has no {folder}/{name}; build it again with a current build tool")
    raw = zips.read_member(archive, f"{folder}/METADATA", LARGEST)
    found = release(raw, "bdist_wheel", f"{folder}/METADATA")
    if strict:
        _check_tags(filename)
        _check_licences(found.license_files, f"{folder}/licenses/", paths)
        _check_entry_points(archive, f"{folder}/entry_points.txt", paths)
        _check_record(archive, folder, paths)
    return found


def _dist_info(paths: Iterable[str], filename: str) -> str:
    """The one ``.dist-info`` folder; its name may be less normalised than the file's."""
    folders = {path.split("/", 1)[0] for path in paths if re.match(r"[^/]+\.dist-info/", path)}
    if len(folders) != 1:
        raise Malformed(f"a wheel has exactly one .dist-info folder, this one has {len(folders)}")
    folder = folders.pop()
    name, _, version = folder.removesuffix(".dist-info").rpartition("-")
    expected = names.release_of(filename)
    if not expected or names.normalise(name) != expected[0] or not names.same_version(version, expected[1]):
        raise Malformed(f"the wheel's folder {shown(folder)} is not named like {shown(filename)}")
    return folder


def _check_tags(filename: str) -> None:
    for platform in names.stem(filename).rsplit("-", 1)[-1].split("."):
        if not _PLATFORM.fullmatch(platform):
            raise Malformed(f"the platform tag {shown(platform)} is not known; build the wheel for a real platform")


def _check_licences(wanted: Iterable[str], folder: str, paths: Iterable[str]) -> None:
    there = set(paths)
    for path in wanted:
        if folder + path not in there:
            raise Malformed(f"License-File {shown(path)} is not in the archive; add it or drop the field")


def _check_entry_points(archive: zipfile.ZipFile, path: str, paths: Iterable[str]) -> None:
    if path not in paths:
        return
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]  # names of entry points keep their case
    try:
        parser.read_string(zips.read_member(archive, path, _SMALL).decode("utf-8"))
    except (configparser.Error, ValueError) as error:
        raise Malformed("entry_points.txt does not parse; look at the entry points of the project") from error
    for section in parser.sections():
        for name, value in parser.items(section):
            if not _REFERENCE.fullmatch(value.strip()):
                raise Malformed(f"the entry point {shown(name)} does not name an object (module:attribute)")


def _check_record(archive: zipfile.ZipFile, folder: str, paths: list[str]) -> None:
    """RECORD names every file, and hashes of all but itself and its signatures (PEP 376, 427)."""
    rows = _record(zips.read_member(archive, f"{folder}/RECORD", _RECORD))
    exempt = {f"{folder}/{name}" for name in _UNHASHED}
    budget = _HASHED
    for path in paths:
        if path in exempt:
            continue
        if path not in rows:
            raise Malformed(f"RECORD does not list {shown(path)}; build the wheel again")
        size = archive.getinfo(path).file_size
        if size <= budget:
            budget -= size
            _check_hash(archive, path, rows[path])
    if missing := set(rows) - set(paths):
        raise Malformed(f"RECORD lists {shown(min(missing))}, which is not in the wheel; build it again")


def _record(raw: bytes) -> dict[str, str]:
    rows: dict[str, str] = {}
    try:
        for row in csv.reader(io.StringIO(raw.decode("utf-8"), newline="")):
            if not row:
                continue
            path, digest, _ = row
            if path in rows:
                raise Malformed(f"RECORD lists {shown(path)} twice; build the wheel again")
            rows[path] = digest
    except (csv.Error, ValueError) as error:
        raise Malformed("RECORD is not a table of path, hash and size; build the wheel again") from error
    return rows


def _check_hash(archive: zipfile.ZipFile, path: str, expected: str) -> None:
    algorithm, _, digest = expected.partition("=")
    if algorithm not in _HASHES:
        raise Malformed(f"RECORD has no sha256 of {shown(path)}; build the wheel again")
    hasher = hashlib.new(algorithm)
    try:
        with archive.open(path) as member:
            while chunk := member.read(_CHUNK):
                hasher.update(chunk)
    except zips.BROKEN as error:
        raise Malformed(f"the wheel's member {shown(path)} is damaged; build it again") from error
    if base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode() != digest.rstrip("="):
        raise Malformed(f"{shown(path)} is not the file that RECORD names; build the wheel again")


def _sdist(filename: str, file: IO[bytes], strict: bool) -> Release:
    """PKG-INFO lies in the archive's one folder, which is named like the file (PEP 625)."""
    paths, raw = _sdist_zip(file) if filename.endswith(".zip") else _sdist_tar(file)
    if len(raw) != 1:
        raise Malformed(f"a source distribution has one PKG-INFO in its folder, this one has {len(raw)}")
    ((path, data),) = raw.items()
    folder = path.split("/", 1)[0]
    named, inside = names.release_of(filename), names.release_of(folder + ".tar.gz")
    if named != inside:
        raise Malformed(f"the archive's folder {shown(folder)} is not named like {shown(filename)}")
    found = release(data, "sdist", path)
    if strict:
        _check_licences(found.license_files, f"{folder}/", paths)
    return found


def _is_pkg_info(path: str) -> bool:
    return path.count("/") == 1 and path.endswith("/PKG-INFO")


def _sdist_tar(file: IO[bytes]) -> tuple[list[str], dict[str, bytes]]:
    found = list(tars.members(file, lambda path: LARGEST if _is_pkg_info(path) else 0))
    return [member.path for member in found], {
        member.path: member.whole() for member in found if _is_pkg_info(member.path)
    }


def _sdist_zip(file: IO[bytes]) -> tuple[list[str], dict[str, bytes]]:
    archive = zips.strict(file)
    paths = [member.filename for member in archive.infolist() if not member.is_dir()]
    return paths, {path: zips.read_member(archive, path, LARGEST) for path in paths if _is_pkg_info(path)}
