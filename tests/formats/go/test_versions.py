from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliquary.formats.go import versions

STAMP = "20200102030405-abcdefabcdef"
TIME = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "v1.2.3",
        "v0.0.0",
        "v1.2.3-rc.1",
        "v1.0.0-M3",
        "v1.2.3-0.a-b",
        "v2.0.0+incompatible",
        "v2.0.0-rc.1+incompatible",
        f"v0.0.0-{STAMP}",
        "v0.0.1-go1.22.1.linux-amd64",
    ],
)
def test_05_canonical_versions(text: str) -> None:
    assert versions.canonical(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3",
        "V1.2.3",
        "v1.2.3+meta",
        "v1.2.3+incompatible.1",
        "v1.2.3+",
        "v1.2.3-",
        "v1.2.3-a..b",
        "v1.2.3-01",
        "v01.2.3",
        "v1.2.3.4",
        "v1.2.3 ",
        "v1.2.3\n",
        "v1.2.3-é",
        "vv1.2.3",
        "",
        "v",
        "v1.2.3/x",
        "v1.2.3-!m3",
    ],
)
def test_05_versions_that_are_refused(text: str) -> None:
    assert versions.canonical(text) is None


@pytest.mark.parametrize(
    "text", ["v1", "v1.2", "latest", "upgrade", "patch", "master", "abcdef1", "list", ">=v1.0.0", "none", "v1.2.x"]
)
def test_10_queries_are_no_versions(text: str) -> None:
    assert versions.canonical(text) is None
    assert versions.parse(text) is None


@pytest.mark.parametrize(
    ("path", "version", "fit"),
    [
        ("example.com/a", "v0.1.0", True),
        ("example.com/a", "v1.2.3", True),
        ("example.com/a", "v2.0.0", False),
        ("example.com/a", "v2.0.0+incompatible", True),
        ("example.com/a", "v1.0.0+incompatible", False),
        ("example.com/a", "v1.0.0+meta", False),
        ("example.com/a/v2", "v2.0.0", True),
        ("example.com/a/v2", f"v2.0.0-{STAMP}", True),
        ("example.com/a/v2", "v1.0.0", False),
        ("example.com/a/v2", "v3.0.0", False),
        ("example.com/a/v2", "v20.0.0", False),
        ("example.com/a/v2", "v2.0.0+incompatible", False),
        ("example.com/a/v2", "v3.0.0+incompatible", False),
        ("example.com/a/v20", "v20.0.0", True),
        ("example.com/a", "1.0.0", False),
        ("example.com/a", "v1.0", False),
    ],
)
def test_06_the_major_version_is_that_of_the_path(path: str, version: str, fit: bool) -> None:
    assert versions.fits(path, version) is fit


@pytest.mark.parametrize(
    ("path", "version", "fit"),
    [
        ("gopkg.in/yaml.v3", "v3.0.1", True),
        ("gopkg.in/yaml.v3", "v2.0.0", False),
        ("gopkg.in/yaml.v3", "v3.0.1+incompatible", False),
        ("gopkg.in/yaml.v3-unstable", "v3.0.1", True),
        ("gopkg.in/yaml.v0", "v0.1.0", True),
        ("gopkg.in/yaml.v0", "v1.1.0", False),
        ("gopkg.in/check.v1", "v1.0.0", True),
        ("gopkg.in/check.v1", f"v0.0.0-{STAMP}", True),
        ("gopkg.in/check.v1", "v0.1.0", False),
        ("gopkg.in/check.v2", f"v0.0.0-{STAMP}", False),
    ],
)
def test_07_paths_below_gopkg_in(path: str, version: str, fit: bool) -> None:
    assert versions.fits(path, version) is fit


FORMS = [
    (None, 0, f"v0.0.0-{STAMP}"),
    (None, 3, f"v3.0.0-{STAMP}"),
    ("v1.2.3", 0, f"v1.2.4-0.{STAMP}"),
    ("v1.2.9", 0, f"v1.2.10-0.{STAMP}"),
    ("v0.0.0", 0, f"v0.0.1-0.{STAMP}"),
    ("v1.2.3-rc.1", 0, f"v1.2.3-rc.1.0.{STAMP}"),
    ("v1.2.3-0", 0, f"v1.2.3-0.0.{STAMP}"),
    ("v2.0.0+incompatible", 0, f"v2.0.1-0.{STAMP}+incompatible"),
    ("v2.0.0-rc+incompatible", 0, f"v2.0.0-rc.0.{STAMP}+incompatible"),
]


@pytest.mark.parametrize(("base", "major", "version"), FORMS)
def test_08_the_forms_of_pseudo_versions(base: str | None, major: int, version: str) -> None:
    assert versions.pseudo(base, TIME, "abcdefabcdef", major=major) == version
    assert versions.is_pseudo(version)
    assert versions.canonical(version) == version
    assert versions.base_of(version) == base
    assert versions.time_of(version) == TIME
    assert versions.revision_of(version) == "abcdefabcdef"


def test_08_the_time_is_in_utc_and_whole_seconds() -> None:
    local = datetime(2020, 1, 2, 5, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert versions.pseudo(None, local, "abcdefabcdef") == f"v0.0.0-{STAMP}"
    early = datetime(1, 2, 3, tzinfo=UTC)
    assert versions.pseudo(None, early, "abcdefabcdef") == "v0.0.0-00010203000000-abcdefabcdef"


@pytest.mark.parametrize("base", ["1.0.0", "v1", "main", ""])
def test_08_a_base_is_a_version(base: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        versions.pseudo(base, TIME, "abcdefabcdef")


@pytest.mark.parametrize(
    "version",
    [
        "v1.2.3",
        "v1.2.3-rc.1",
        f"v1.2.3-{STAMP}",
        f"v1.2.3-rc.{STAMP}",
        f"v1.2.3-rc-0.{STAMP}",
        f"v0.0.0-1{STAMP}",
        "v0.0.0-2020010203040-abcdefabcdef",
        "v0.0.0-20200102030405",
        "v0.0.0-20200102030405-abc-def",
        f"0.0.0-{STAMP}",
        "v0.0.1-go1.22.1.linux-amd64",
    ],
)
def test_08_versions_that_are_no_pseudo_versions(version: str) -> None:
    assert not versions.is_pseudo(version)
    assert versions.base_of(version) is None
    assert versions.time_of(version) is None
    assert versions.revision_of(version) is None


def test_08_what_a_pseudo_version_may_not_claim() -> None:
    assert versions.base_of(f"v1.2.0-0.{STAMP}") is None
    assert versions.is_pseudo("v0.0.0-99999999999999-abcdefabcdef")
    assert versions.time_of("v0.0.0-99999999999999-abcdefabcdef") is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2020-01-02T03:04:05Z", TIME),
        ("2020-01-02T03:04:05.000000000Z", TIME),
        ("2020-01-02T05:04:05+02:00", TIME),
        ("2020-01-01T22:04:05.123456789-05:00", TIME.replace(microsecond=123_456)),
        ("2020-01-02t03:04:05z", TIME),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        ("2020-01-02T03:04:05", None),
        ("2020-01-02 03:04:05Z", None),
        ("2020-13-02T03:04:05Z", None),
        ("20200102T030405Z", None),
        ("", None),
        (None, None),
        (1577934245, None),
    ],
)
def test_22_times_in_a_versions_json(text: object, time: datetime | None) -> None:
    assert versions.instant(text) == time


ORDER = [
    f"v0.0.0-{STAMP}",
    "v0.0.0",
    "v0.9.0",
    "v0.10.0",
    "v1.0.0-1",
    "v1.0.0-2",
    "v1.0.0-10",
    "v1.0.0-1a",
    "v1.0.0-M3",
    "v1.0.0-alpha",
    "v1.0.0-alpha.1",
    "v1.0.0-alpha.beta",
    "v1.0.0-rc.2",
    "v1.0.0-rc.10",
    f"v1.0.0-rc.10.0.{STAMP}",
    "v1.0.0",
    f"v1.0.1-0.{STAMP}",
    "v1.0.1",
    "v2.0.0",
    "v2.0.0+incompatible",
    "v10.0.0+incompatible",
]


def test_41_versions_in_order() -> None:
    shuffled = ORDER * 50
    random.Random(1).shuffle(shuffled)
    assert versions.ascending(shuffled) == [each for each in ORDER for _ in range(50)]


def test_what_is_no_version_stands_first() -> None:
    assert versions.ascending(["v1.0.0", "main", "v0.0.0-0", "dev"]) == ["dev", "main", "v0.0.0-0", "v1.0.0"]


@pytest.mark.parametrize(
    ("known", "latest"),
    [
        ([], None),
        (["main", "v1", "v1.0.0+meta"], None),
        (["v1.9.0", "v1.10.0", "v1.2.0"], "v1.10.0"),
        (["v1.0.0", "v2.0.0-rc.1"], "v1.0.0"),
        (["v0.1.0-rc.2", "v0.1.0-rc.10"], "v0.1.0-rc.10"),
        (["v0.1.0-rc.1", f"v0.1.1-0.{STAMP}"], "v0.1.0-rc.1"),
        (["v1.0.0", f"v1.0.1-0.{STAMP}"], "v1.0.0"),
        (["v1.0.0", "v3.0.0+incompatible"], "v1.0.0"),
        (["v1.0.0-rc.1", "v3.0.0+incompatible"], "v1.0.0-rc.1"),
        (["v3.0.0+incompatible", "v10.0.0+incompatible", "v11.0.0-a+incompatible"], "v10.0.0+incompatible"),
        ([f"v0.0.0-{STAMP}", "v0.0.0-20210102030405-000000000000"], "v0.0.0-20210102030405-000000000000"),
        ([f"v1.0.1-0.{STAMP}", "v0.0.0-20210102030405-000000000000"], "v0.0.0-20210102030405-000000000000"),
        ([f"v0.0.0-{STAMP}", "v2.0.1-0.20210102030405-000000000000+incompatible"], f"v0.0.0-{STAMP}"),
        ([f"v0.0.0-{STAMP}", "v2.0.0+incompatible"], "v2.0.0+incompatible"),
    ],
)
def test_14_the_latest_version(known: list[str], latest: str | None) -> None:
    assert versions.latest(known) == latest
    assert versions.latest(reversed(known)) == latest


def test_the_latest_version_of_a_module_without_go_mod() -> None:
    known = ["v1.0.0", "v3.0.0+incompatible", "v4.0.0-rc+incompatible"]
    assert versions.latest(known, modular=False) == "v3.0.0+incompatible"


@given(st.text("v0123456789.-+abincompatible", max_size=30))
def test_no_text_is_too_odd(text: str) -> None:
    assert versions.canonical(text) in (text, None)
    assert versions.ascending([text, "v1.0.0"])
    if versions.is_pseudo(text):
        assert versions.revision_of(text)
