from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tarfile
import warnings
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed, NotHere
from reliquary.formats.pypi.inspect import extract_metadata, inspect
from reliquary.formats.pypi.metadata import Release
from tests.formats.pypi.artefacts import metadata, pack, record_line, sdist, wheel

WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"
INFO = "demo-1.0.dist-info"


def look(data: bytes, filename: str = WHEEL, *, strict: bool = True) -> Release:
    return inspect(filename, io.BytesIO(data), strict=strict)


def refused(data: bytes, match: str, filename: str = WHEEL) -> None:
    with pytest.raises(Malformed, match=match):
        look(data, filename)


def test_a_wheel() -> None:
    raw = metadata(extra="Requires-Python: >=3.8\n", body="Grüße")
    assert look(wheel(meta=raw)) == Release("demo", "1.0", ">=3.8", "bdist_wheel", raw)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_with_odd_but_true_names(method: int) -> None:
    members = {"demo/ünïcode name.txt": b"x", "demo/empty": b""}
    data = wheel("Demo.Pkg", "1.0", folder="Demo.Pkg-1.0.dist-info", members=members, method=method)
    assert look(data, "demo_pkg-1.0-py3-none-any.whl").name == "demo-pkg"
    assert extract_metadata(io.BytesIO(data), "demo-pkg") == metadata("Demo.Pkg")


def test_a_streamed_zip_with_data_descriptors() -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            chunk = bytes(data)  # type: ignore[call-overload]
            self.data += chunk
            return len(chunk)

    target = Unseekable()
    with (
        zipfile.ZipFile(io.BytesIO(wheel())) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for member in source.infolist():
            copy.writestr(member.filename, source.read(member))
    assert look(target.data).name == "demo"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "not a zip"),
        (b"not a zip at all", "not a zip"),
        (wheel()[:-30], "not a zip|not a whole"),
        (wheel() + b"more", "behind its end"),
        (b"#!/bin/sh\n" + wheel(), "foreign bytes"),
        (wheel() + wheel(), "foreign bytes"),
        (wheel(drop=("METADATA",)), "no demo-1.0.dist-info/METADATA"),
        (wheel(drop=("WHEEL",)), "no demo-1.0.dist-info/WHEEL"),
        (wheel(drop=("RECORD",)), "no demo-1.0.dist-info/RECORD"),
        (wheel(meta=metadata("other")), "metadata says other 1.0"),
        (wheel(meta=metadata(version="2")), "metadata says demo 2"),
        (wheel(meta=b"Metadata-Version: 2.1\nName: demo\n"), "no usable Version"),
        (wheel(meta=metadata(version="one")), "not a version"),
        (wheel(meta=b"x" * (5 * 1_048_576)), "larger than"),
        (wheel(folder="demo-2.0.dist-info"), "not named like"),
        (wheel(members={"x-1.dist-info/METADATA": b""}), "exactly one .dist-info folder"),
        (pack({"a.py": b""}), "exactly one .dist-info folder"),
        (wheel(members={"../evil.py": b"x"}), "unsafe name"),
        (wheel(members={"/etc/passwd": b"x"}), "unsafe name"),
        (wheel(members={"a\\b.py": b"x"}), "unsafe name"),
        (wheel(members={"c:/b.py": b"x"}), "unsafe name"),
        (wheel(members={"a//b.py": b"x"}), "unsafe name"),
        (wheel(method=zipfile.ZIP_BZIP2), "neither stored nor deflated"),
        (wheel(record=""), "RECORD does not list 'demo.py'"),
        (wheel(record="a,b\n"), "not a table"),
        (wheel(meta=metadata(extra="License-File: LICENSE\n")), "License-File 'LICENSE'"),
        (wheel(members={f"{INFO}/entry_points.txt": b"x = 1"}), "does not parse"),
        (wheel(members={f"{INFO}/entry_points.txt": b"[console_scripts]\na = b c d"}), "does not name an object"),
    ],
)
def test_broken_wheels(data: bytes, match: str) -> None:
    refused(data, match)


def test_record_names_the_bytes() -> None:
    lines = [record_line("demo.py", b"x = 2\n"), f"{INFO}/METADATA,,\n", f"{INFO}/WHEEL,,\n", f"{INFO}/RECORD,,\n"]
    refused(wheel(record="".join(lines)), "'demo.py' is not the file that RECORD names")
    refused(wheel(record="demo.py,md5=x,\n" + "".join(lines[1:])), "no sha256 of 'demo.py'")
    refused(
        wheel(record="".join([*lines, "gone.py,,\n"]).replace(lines[0], record_line("demo.py", b"x = 1\n"))),
        "no sha256",
    )


def test_lenient_checks_skip_what_tools_get_wrong() -> None:
    data = wheel(record="", meta=metadata(extra="License-File: LICENSE\n"))
    assert look(data, strict=False).name == "demo"
    with pytest.raises(Malformed):
        look(wheel(members={"../evil.py": b""}), strict=False)


def test_a_licence_in_its_place() -> None:
    members = {f"{INFO}/licenses/LICENSE": b"do"}
    assert look(wheel(meta=metadata(extra="License-File: LICENSE\n"), members=members)).name == "demo"


def test_entry_points_in_order() -> None:
    members = {f"{INFO}/entry_points.txt": b"[console_scripts]\nDemo = demo:main [extra]\n[x.y]\na=demo.x\n"}
    assert look(wheel(members=members)).name == "demo"


def test_platform_tags() -> None:
    for tag in ("manylinux_2_17_x86_64.manylinux2014_x86_64", "win_amd64", "macosx_11_0_arm64", "linux_x86_64"):
        assert look(wheel(), f"demo-1.0-cp312-cp312-{tag}.whl").version == "1.0"
    refused(wheel(), "platform tag", "demo-1.0-py3-none-toaster.whl")
    refused(wheel(), "not the name of a wheel", "demo-1.0.whl")


def test_duplicate_members() -> None:
    target = io.BytesIO(wheel())
    with zipfile.ZipFile(target, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("demo.py", b"x = 2\n")
    refused(target.getvalue(), "twice")


def test_two_end_records() -> None:
    data = bytearray(wheel())
    end = bytes(data[-22:])
    data[-2:] = struct.pack("<H", 22)
    refused(bytes(data) + end, "foreign bytes|more than one end record")


def test_a_local_header_that_says_another_name() -> None:
    data = wheel()
    at = data.index(b"demo.py")
    refused(data[:at] + b"evil.py" + data[at + 7 :], "two things")


def test_a_gap_between_members() -> None:
    data = bytearray(wheel(method=zipfile.ZIP_STORED))
    start = struct.unpack_from("<L", data, len(data) - 22 + 16)[0]
    grown = data[:start] + b"hidden" + data[start:]
    struct.pack_into("<L", grown, len(grown) - 22 + 16, start + 6)
    refused(bytes(grown), "foreign bytes before its directory")


def test_encrypted_members_and_links() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    refused(target.getvalue(), "link or a device")
    data = bytearray(wheel())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    refused(bytes(data), "encrypted")


def test_bombs() -> None:
    refused(wheel(members={"zeros": bytes(70 * 1_048_576)}), "bomb")
    refused(sdist(members={"demo-1.0/zeros": bytes(70 * 1_048_576)}), "bomb", SDIST)


def test_damaged_data_is_refused() -> None:
    data = bytearray(wheel())
    at = data.index(b"demo.py") + 7
    data[at + 1] ^= 0xFF
    refused(bytes(data), "damaged|not the file")


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_sdist(kind: int) -> None:
    members = {f"demo-1.0/{'long/' * 15}ü.py": b"x", "./demo-1.0/dot.py": b""}
    raw = metadata(extra="Requires-Python: >=3.8\n")
    assert look(sdist(meta=raw, members=members, kind=kind), SDIST) == Release("demo", "1.0", ">=3.8", "sdist", raw)


def test_an_sdist_as_zip_and_with_an_old_name() -> None:
    assert look(pack({"demo-1.0/PKG-INFO": metadata()}), "demo-1.0.zip").filetype == "sdist"
    assert look(sdist("Foo.Bar"), "Foo.Bar-1.0.tar.gz").name == "foo-bar"


def odd(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "tar archive"),
        (b"plain", "tar archive"),
        (sdist()[:-20], "tar archive"),
        (sdist() + b"tail", "tar archive"),
        (sdist(folder="other-1.0"), "not named like"),
        (sdist(meta=metadata("other")), "metadata says other"),
        (sdist(meta=metadata(extra="License-File: LICENSE\n")), "License-File"),
        (sdist(members={"more-1.0/PKG-INFO": metadata()}), "one PKG-INFO"),
        (sdist(members={"/abs": b""}), "unsafe"),
        (sdist(members={"demo-1.0/../../evil": b""}), "unsafe"),
        (sdist(odd=(odd("demo-1.0/demo.py", tarfile.REGTYPE),)), "twice"),
        (sdist(odd=(odd("demo-1.0/l", tarfile.SYMTYPE, "/etc/passwd"),)), "link or a device"),
        (sdist(odd=(odd("demo-1.0/l", tarfile.LNKTYPE, "demo-1.0/demo.py"),)), "link or a device"),
        (sdist(odd=(odd("demo-1.0/d", tarfile.CHRTYPE),)), "link or a device"),
        (sdist(meta=b"x" * (5 * 1_048_576)), "larger than"),
        (sdist(members={f"demo-1.0/{'x' * 70_000}": b""}, kind=tarfile.GNU_FORMAT), "oversized extended header"),
    ],
)
def test_broken_sdists(data: bytes, match: str) -> None:
    refused(data, match, SDIST)


@pytest.mark.parametrize(
    "name", ["demo-1.0.tar.bz2", "demo-1.0.exe", "demo.whl", "../demo-1.0.tar.gz", "demo-x.tar.gz"]
)
def test_names_that_are_not_published(name: str) -> None:
    refused(sdist(), "is not the name of", name)


def test_extraction_refuses_quietly() -> None:
    for data in (b"", b"PK\5\6", wheel(drop=("METADATA",)), sdist()):
        with pytest.raises(NotHere):
            extract_metadata(io.BytesIO(data), "demo")
    two = pack({"a-1.dist-info/METADATA": b"a", "demo-1.dist-info/METADATA": b"d"})
    assert extract_metadata(io.BytesIO(two), "demo") == b"d"


@given(st.integers(0, 900), st.binary(min_size=1, max_size=4), st.booleans())
def test_flipped_bytes_never_break_the_inspector(at: int, noise: bytes, tar: bool) -> None:
    data = bytearray(sdist() if tar else wheel())
    at %= len(data)
    data[at : at + len(noise)] = noise
    name = SDIST if tar else WHEEL
    for strict in (True, False):
        with contextlib.suppress(Malformed):
            assert look(bytes(data), name, strict=strict).name == "demo"
    with contextlib.suppress(NotHere):
        extract_metadata(io.BytesIO(bytes(data)), "demo")


@given(st.binary(max_size=400))
def test_any_metadata_is_read_or_refused(raw: bytes) -> None:
    for data in (raw, metadata() + raw):
        with contextlib.suppress(Malformed):
            look(wheel(meta=data))


@given(st.binary(max_size=1500))
def test_any_tar_is_read_or_refused(raw: bytes) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("demo-1.0/x"))
    for data in (raw, whole.getvalue()[:512] + raw):
        with contextlib.suppress(Malformed):
            look(gzip.compress(data), SDIST)
