"""Raw paths to segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import Malformed
from reliquary.web import paths


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        (b"", ("",)),
        (b"a", ("a",)),
        (b"a/", ("a", "")),
        (b"a/b.c", ("a", "b.c")),
        (b"a+b~c", ("a+b~c",)),
        (b"a%2Bb%7ec%3A", ("a+b~c:",)),
        (b"a%2fb/c", ("a/b", "c")),
        (b"a%252fb", ("a%2fb",)),
        (b"%E2%82%AC", ("\u20ac",)),
        (b"...", ("...",)),
        (b"..a/a..", ("..a", "a..")),
        (b"..;/x", ("..;", "x")),
    ],
)
def test_segments_are_decoded_once(raw: bytes, segments: tuple[str, ...]) -> None:
    assert paths.split(raw) == segments


@pytest.mark.parametrize(
    "raw",
    [b"a//b", b"/a", b".", b"..", b"a/./b", b"a/..", b"%2e%2E", b"%2e", b"a%2f..", b"%2e.", b"%00", b"%2500", b"%1f",
     b"%7f", b"%c2%80", b"%5c", b"a\\b", b"%", b"%2", b"%zz", b"%ff", b"%c0%ae", b"%ed%a0%80", b"a" * 9000],
)  # fmt: skip
def test_what_no_client_can_mean_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        paths.split(raw)


@given(st.binary(max_size=60))
def test_line_23_no_bytes_give_a_segment_that_climbs(raw: bytes) -> None:
    try:
        segments = paths.split(raw)
    except Malformed:
        return
    for segment in segments:
        assert not any(part in (".", "..") for part in segment.split("/"))
        assert "\x00" not in segment
        assert "\\" not in segment


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5))
def test_what_is_joined_is_split_again(names: list[str]) -> None:
    try:
        raw = paths.join("/".join(names)).encode()
        found = paths.split(raw)
    except (Malformed, UnicodeEncodeError):
        return
    assert "/".join(found) == "/".join(names)


def test_a_plus_is_a_space_in_queries_alone() -> None:
    assert paths.query(b"a=b+c&a=d%2Be&f=") == {"a": "d+e", "f": ""}
    assert paths.query(b"") == {}


@pytest.mark.parametrize("raw", [b"&".join([b"a=1"] * 200), b"\xff=1"])
def test_queries_have_bounds(raw: bytes) -> None:
    with pytest.raises(Malformed):
        paths.query(raw)
