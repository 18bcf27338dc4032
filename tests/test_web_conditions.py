"""Validators and ranges as pure functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.errors import PreconditionFailed, RangeUnsatisfiable
from reliquary.web import conditions

CHANGED = datetime(2026, 3, 1, 12, 0, 5, 250_000, UTC)
WHOLE = CHANGED.replace(microsecond=0)


def http(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC), usegmt=True)


@given(st.integers(86_400, 250_000_000_000))
def test_dates_are_imf_fixdates(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    text = conditions.http_date(seconds)
    assert text == http(moment)
    assert parsedate_to_datetime(text) == moment


@pytest.mark.parametrize(
    ("later", "sent"),
    [
        (timedelta(0), WHOLE - timedelta(seconds=1)),
        (timedelta(seconds=0.7), WHOLE - timedelta(seconds=1)),
        (timedelta(seconds=0.75), WHOLE),
        (timedelta(days=9), WHOLE),
        (timedelta(days=-9), WHOLE - timedelta(days=9, seconds=1)),
    ],
)
def test_within_the_second_of_a_change_the_second_before_is_sent(later: timedelta, sent: datetime) -> None:
    assert conditions.stamp(CHANGED, CHANGED + later) == sent


@given(st.floats(0, 3), st.floats(0, 3))
def test_a_date_that_was_sent_before_a_change_never_confirms_what_came_after(first: float, second: float) -> None:
    """Whatever is sent at one moment is no validator for a change at that moment or later."""
    one = CHANGED + timedelta(seconds=first)
    two = one + timedelta(seconds=second)
    sent = conditions.stamp(CHANGED, one)
    assert sent < one
    unchanged = conditions.check({"if-modified-since": http(sent)}, None, two.replace(microsecond=0))
    assert not unchanged or two.replace(microsecond=0) <= sent


def test_etags_are_compared_as_they_must_be() -> None:
    assert conditions.check({"if-none-match": 'W/"b", "a"'}, "a", None)
    assert conditions.check({"if-none-match": 'W/"a"'}, "a", None)
    assert not conditions.check({"if-none-match": '"A"'}, "a", None)
    assert not conditions.check({"if-none-match": '"a'}, "a", None)
    assert not conditions.check({"if-none-match": '"a"'}, None, None)
    assert not conditions.check({"if-match": '"b", "a"'}, "a", None)
    for match in ('W/"a"', '"b"', "a", ""):
        with pytest.raises(PreconditionFailed):
            conditions.check({"if-match": match}, "a", None)


@pytest.mark.parametrize(
    "text", ["", "x", "Thu, 32 Jan 2026 00:00:00 GMT", "0", "Thu, 01 Jan 99999 00:00:00 GMT", "9" * 70]
)
def test_dates_that_are_none_say_nothing(text: str) -> None:
    assert not conditions.check({"if-modified-since": text}, None, WHOLE)
    assert not conditions.check({"if-unmodified-since": text}, None, WHOLE)
    assert conditions.span({"range": "bytes=0-1", "if-range": text or "x"}, 9, "a", WHOLE) is None


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_ranges_are_inside_or_unsatisfiable(size: int, first: int, last: int) -> None:
    for text in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        try:
            found = conditions.span({"range": text}, size, "a", None)
        except RangeUnsatisfiable as error:
            assert error.size == size
            continue
        if found is not None:
            assert 0 <= found.start < found.stop <= size


@given(st.text(max_size=40))
def test_no_range_header_is_an_error_of_ours(text: str) -> None:
    for value in (text, f"bytes={text}"):
        try:
            conditions.span({"range": value}, 10, "a", WHOLE)
        except RangeUnsatisfiable:
            continue


def test_an_unknown_size_gives_the_whole() -> None:
    assert conditions.span({"range": "bytes=0-1"}, None, "a", WHOLE) is None
