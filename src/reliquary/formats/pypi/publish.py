"""The upload form of the legacy API, and plain PUT, as one act: an artefact becomes a release."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any, TypeAlias

from reliquary.errors import Forbidden, Malformed
from reliquary.formats.pypi import names
from reliquary.formats.pypi.inspect import inspect
from reliquary.formats.pypi.metadata import Release
from reliquary.formats.pypi.reading import sidecar_of
from reliquary.formats.verbs import Incoming, Part, Received, Reply, Shelf
from reliquary.types import Action, Entry

Verb: TypeAlias = Callable[[Incoming, Shelf], Awaitable[Reply]]

ALGORITHMS = ("md5", "blake2b_256")
"""What clients announce besides sha256."""

_DIGESTS = {"md5_digest": "md5", "sha256_digest": "sha256", "blake2_256_digest": "blake2b_256"}
_LENGTHS = {"md5": 32, "sha256": 64, "blake2b_256": 64}
_KEPT = frozenset({":action", "protocol_version", "name", "version", "filetype", *_DIGESTS})
_IDLE = ("submit", "verify")
_FIELD = 65_536
_QUICK = 16_384
"""Bytes of an artefact up to which looking into it takes less time than asking a thread to."""


@dataclass(slots=True)
class _Form:
    """An upload form as far as it was read."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""
    received: Received | None = None
    admitted: str | None = None

    @property
    def action(self) -> str:
        return self.fields.get(":action", "")

    async def admit(self, shelf: Shelf, name: str) -> None:
        """Ask once for each name that the form gives; raises what `_admit` raises."""
        if name != self.admitted:
            await _admit(shelf, name)
            self.admitted = name

    async def note(self, part: Part) -> None:
        """Keep a field that matters; the last value of a name counts, "UNKNOWN" says nothing."""
        if part.name not in _KEPT:
            async for _ in part.chunks():
                pass
            return
        value = (await part.text(_FIELD)).strip()
        if value and value != "UNKNOWN":
            self.fields[part.name] = value


async def upload(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST of the upload form (the specification's "Upload API"): 200 with an empty body, also
    when the same bytes are there. Raises Malformed, Forbidden, AlreadyThere."""
    form = _Form()
    try:
        async for part in incoming.parts():
            await _take(part, form, shelf)
        _check_action(form.action)
        if form.action not in _IDLE:
            await _finish(form, shelf)
    finally:
        if form.received is not None:
            await form.received.discard()
    return Reply(200)


async def put(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT of an artefact under its file name: 201 new, 200 when the same bytes are there."""
    filename = incoming.segments[-1]
    name, _ = _parsed(filename)
    await _admit(shelf, name)
    received = await shelf.receive(incoming.chunks(), algorithms=ALGORITHMS)
    try:
        new = await _store(shelf, filename, received, {})
    finally:
        await received.discard()
    return Reply(201 if new else 200)


async def _take(part: Part, form: _Form, shelf: Shelf) -> None:
    """Read one part; whoever may not publish is turned away before the file is read."""
    if part.name == "content" and part.filename is not None:
        if form.received is not None:
            raise Malformed("the form has two files; send one file in each form")
        await _admit_early(form, part.filename, shelf)
        form.filename = part.filename
        form.received = await shelf.receive(part.chunks(), algorithms=ALGORITHMS)
        return
    await form.note(part)
    if part.name == ":action":
        _check_action(form.action)
    if part.name == "name" and form.received is None and form.action not in _IDLE and "name" in form.fields:
        await form.admit(shelf, _name(form.fields))


async def _admit_early(form: _Form, filename: str, shelf: Shelf) -> None:
    if form.action in _IDLE:
        return
    name, _ = _parsed(filename)
    await form.admit(shelf, name)


def _check_action(action: str) -> None:
    if action not in ("file_upload", *_IDLE):
        raise Malformed("the form's :action must be file_upload; other actions are not offered", code="action")


def _parsed(filename: str) -> tuple[str, str]:
    """Normal name and version of a file that can be published."""
    found = names.release_of(filename)
    if found is None:
        raise Malformed(
            "the file name is not that of a wheel or a source distribution: "
            "send {name}-{version}-{tags}.whl or {name}-{version}.tar.gz",
            code="filename",
        )
    return found


def _name(fields: Mapping[str, str]) -> str:
    name = names.valid_name(fields.get("name", ""))
    if name is None:
        raise Malformed("the form has no usable name; send letters, digits, '.', '-' and '_'", code="name")
    return name


async def _admit(shelf: Shelf, name: str) -> None:
    """Rights first, then the project's status (PEP 792). Raises Forbidden."""
    await shelf.permit(Action.PUBLISH, name)
    status = (await shelf.properties(name)).get("status")
    if status in ("archived", "quarantined"):
        # not a conflict: clients read 409 as "already uploaded" and would go on
        raise Forbidden(f"{name} is {status} and takes no files; ask its owner to make it active", code=status)


async def _finish(form: _Form, shelf: Shelf) -> bool:
    """Compare what came with what the form announced, then store it."""
    if form.received is None:
        raise Malformed("the form has no file; send it as the part 'content'", code="content")
    protocol = form.fields.get("protocol_version", "1")
    if protocol != "1":
        raise Malformed("the form's protocol_version must be 1", code="protocol")
    await form.admit(shelf, _name(form.fields))
    if "version" not in form.fields:
        raise Malformed("the form has no version", code="version")
    _check_digests(form.fields, form.received)
    return await _store(shelf, form.filename, form.received, form.fields)


def _check_digests(fields: Mapping[str, str], received: Received) -> None:
    announced = {_DIGESTS[name]: value.lower() for name, value in fields.items() if name in _DIGESTS}
    if not announced:
        raise Malformed("the form names no digest of the file; send sha256_digest", code="digest")
    for algorithm, digest in announced.items():
        if len(digest) != _LENGTHS[algorithm] or not re.fullmatch(r"[0-9a-f]+", digest):
            raise Malformed(f"the form's {algorithm} digest is not hexadecimal text", code="digest")
        if not hmac.compare_digest(received.digests[algorithm], digest):
            raise Malformed(
                f"the {algorithm} digest of what arrived is not the one announced: send the file again",
                code="digest-mismatch",
            )


async def _store(shelf: Shelf, filename: str, received: Received, fields: Mapping[str, str]) -> bool:
    """Inspect and publish; True when something new is there."""
    strict = shelf.options.get("checks", "strict") != "lenient"
    if received.size <= _QUICK:
        release = _look(filename, received.open, strict)
    else:
        release = await shelf.inspect(lambda: _look(filename, received.open, strict))
    _check_form(filename, release, fields)
    if release.filetype == "sdist":
        _check_single(filename, release, await shelf.entries(release.name))
    return await shelf.add(additions(shelf, filename, received, release))


def _look(filename: str, opened: Callable[[], IO[bytes]], strict: bool) -> Release:
    with opened() as file:
        return inspect(filename, file, strict=strict)


def _check_form(filename: str, release: Release, fields: Mapping[str, str]) -> None:
    wanted = fields.get("filetype")
    if wanted and wanted != release.filetype:
        raise Malformed(f"the form says {wanted[:40]!a}, the file is {release.filetype}", code="filetype")
    if "name" in fields and _name(fields) != release.name:
        raise Malformed(f"the form's name is not {release.name}, which the file says", code="name")
    if "version" in fields and not names.same_version(fields["version"], release.version):
        raise Malformed(f"the form's version is not {release.version}, which the file says", code="version")


def _check_single(filename: str, release: Release, entries: Sequence[Entry]) -> None:
    """One source distribution a release. A 400: clients would read 409 as "already uploaded"."""
    for entry in entries:
        other = entry.listed and not entry.filename.endswith(".whl") and entry.filename != filename
        if other and names.same_version(entry.version, release.version):
            raise Malformed(
                f"{release.name} {release.version} has the source distribution {entry.filename}; "
                "a release has one: publish a new version",
                code="second-sdist",
            )


def additions(
    shelf: Shelf, filename: str, received: Received, release: Release
) -> list[tuple[Entry, Received | bytes]]:
    """The entry of a published artefact with its bytes, and of a wheel's METADATA beside it."""
    data: dict[str, Any] = {}
    if release.requires_python:
        data["requires_python"] = release.requires_python
    if release.filetype == "bdist_wheel":
        data["core_metadata"] = {"sha256": sha256(release.metadata).hexdigest()}
    entry = Entry(
        key=names.file_path(release.name, filename, received.digests["sha256"]),
        name=release.name,
        version=release.version,
        filename=filename,
        scope=release.name,
        digests=dict(received.digests),
        size=received.size,
        published=shelf.now,
        data=data,
    )
    sidecar = sidecar_of(entry)
    return [(entry, received), (sidecar, release.metadata)] if sidecar else [(entry, received)]
