"""Publishing crates over HTTP: what is stored, what is refused, and what happens at once.

Numbers in names are items of cargo.md, section 8.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.contracts.requests import blob
from tests.formats.cargo.artefacts import body, checksum, crate, dep, told, toml
from tests.formats.cargo.conftest import (
    CONFIG,
    LIMIT,
    ask,
    blobs,
    download,
    index,
    lines,
    publish,
    said,
    together,
    versions,
)
from tests.running import Answer, Running, basic, running

NEW = "/cargo/local/api/v1/crates/new"


def upload(server: Running, sent: bytes, *, at: str = "local", **headers: str) -> Answer:
    """A publish body as it is."""
    more = {"Authorization": server.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return server.ask(f"/cargo/{at}/api/v1/crates/new", method="PUT", headers=more, body=sent)


def shown(server: Running, name: str) -> list[tuple[str, str]]:
    """Versions and crate names that the web API tells of a crate, in the order they were published."""
    answer = server.ask(f"/cargo/local/api/v1/crates/{name}/versions?sort=date")
    return [(each["num"], each["crate"]) for each in json.loads(answer.body)["versions"]]


@pytest.mark.parametrize("to", ["local", "main"])
def test_1_16_a_publish_is_there_at_once_and_whole(server: Running, to: str) -> None:
    name = f"Whole_{to}"
    assert index(server, name, at=to).status == 404
    before = datetime.now(UTC)
    made = crate(name, "1.2.3", manifest=toml(name, "1.2.3", links="z", rust_version="1.70"))
    answer = publish(server, name, "1.2.3", to=to, made=made, deps=[dep("leaf", version_req="^2")], features={"a": []})
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert json.loads(answer.body) == {"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}}
    for at in ("local", "main"):
        (line,) = lines(server, name, at=at)
        assert (line["name"], line["vers"], line["cksum"]) == (name, "1.2.3", checksum(made))
        assert (line["links"], line["rust_version"], line["yanked"], line["v"]) == ("z", "1.70", False, 1)
        assert (line["features"], [each["req"] for each in line["deps"]]) == ({"a": []}, ["^2"])
        assert abs(datetime.fromisoformat(line["pubtime"]) - before) < timedelta(seconds=20)
        for spelled in (name, name.lower(), name.upper()):
            found = download(server, spelled, "1.2.3", at=at)
            assert (found.status, found.body) == (200, made)
        assert found.header("content-type") == "application/gzip"
        assert "immutable" in (found.header("cache-control") or "")
    assert checksum(made) in blobs(server)


def test_17_index_files_are_plain_lines(server: Running) -> None:
    for version in ("1.0.0", "0.9.0", "2.0.0-rc.1"):
        assert publish(server, "plain", version).status == 200
    answer = index(server, "plain")
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    each = answer.body.split(b"\n")
    assert (len(each), each[-1]) == (4, b"")
    for text in each[:-1]:
        assert text == json.dumps(json.loads(text), separators=(",", ":")).encode()
    assert versions(server, "plain") == ["1.0.0", "0.9.0", "2.0.0-rc.1"]


@pytest.mark.parametrize("path", ["Plus_Meta/1.1.0+meta", "Plus_Meta/1.1.0%2Bmeta", "plus_meta/1.1.0+meta"])
def test_3_build_metadata_stays_in_addresses(server: Running, path: str) -> None:
    publish(server, "Plus_Meta", "1.1.0+meta")
    answer = server.ask(f"/cargo/local/api/v1/crates/{path}/download")
    assert (answer.status, answer.body) == (200, crate("Plus_Meta", "1.1.0+meta"))
    assert server.ask("/cargo/local/api/v1/crates/Plus_Meta/1.1.0%20meta/download").status == 404
    assert server.ask("/cargo/local/api/v1/crates/Plus_Meta/1.1.0/download").status == 404


@pytest.mark.parametrize("pair", [("1.0.7", "1.0.7+x"), ("1.0.7+x", "1.0.7"), ("1.0.7+x", "1.0.7+y")])
def test_4_build_metadata_makes_no_other_version(server: Running, pair: tuple[str, str]) -> None:
    name = "meta" + "".join(pair).replace(".", "").replace("+", "-")
    assert publish(server, name, pair[0]).status == 200
    answer = publish(server, name, pair[1])
    assert 400 <= answer.status < 500
    assert "is already uploaded" in said(answer)
    assert versions(server, name) == [pair[0]]
    assert download(server, name, pair[1]).status == 404


@pytest.mark.parametrize("other", ["foo_bar", "Foo-Bar", "FOO_BAR", "foo-Bar"])
@pytest.mark.parametrize("to", ["local", "main"])
def test_5_names_in_another_spelling_are_refused(server: Running, other: str, to: str) -> None:
    publish(server, "foo-bar", "1.0.0")
    had = index(server, "foo-bar")
    for version in ("1.0.0", "2.0.0"):
        answer = publish(server, other, version, to=to)
        assert answer.status == 409
        assert "`foo-bar`" in said(answer)
    assert index(server, "foo-bar").header("etag") == had.header("etag")
    assert other.lower() == "foo-bar" or index(server, other).status == 404


@pytest.mark.parametrize("same", [True, False])
def test_40_a_version_is_published_once(server: Running, same: bool) -> None:
    publish(server, "once")
    made = crate("once") if same else crate("once", files={"more.txt": b"more"})
    answer = publish(server, "once", made=made)
    assert answer.status == 409
    assert said(answer) == "crate version `1.0.0` is already uploaded"
    assert download(server, "once").body == crate("once")


NAMES = ["nul", "Con", "std", "1a", "-a", "a.b", "d\u00e9mo", "a" * 65, "", "../x", "a/b", "a b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_refused(server: Running, name: str) -> None:
    had = blobs(server)
    answer = publish(server, name)
    assert answer.status == 400, answer.text
    assert said(answer)
    assert blobs(server) == had


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0+", "../1.0.0", "latest"]
)
def test_versions_that_are_none(server: Running, version: str) -> None:
    answer = publish(server, "versioned", version)
    assert answer.status == 400
    assert index(server, "versioned").status == 404


@pytest.mark.parametrize(
    ("name", "version", "made"),
    [
        ("shape", "1.0.0", crate("other", "1.0.0")),
        ("Shape", "1.0.0", crate("shape", "1.0.0")),
        ("shape", "1.0.1", crate("shape", "1.0.0")),
        ("shape", "1.0.0+x", crate("shape", "1.0.0")),
        ("shape", "1.0.0", crate("shape", "1.0.0", folder="elsewhere")),
        ("shape", "1.0.0", crate("shape", "1.0.0", files={"../x": b""})),
        ("shape", "1.0.0", crate("shape", "1.0.0", files={"cargo.toml": b""})),
        ("shape", "1.0.0", crate("shape", "1.0.0", manifest="[package")),
        ("shape", "1.0.0", crate("shape", "1.0.0")[:-9]),
        ("shape", "1.0.0", b"no archive"),
        ("shape", "1.0.0", crate("shape", manifest=toml("shape", "1.0.0", rust_version=">=1.70"))),
    ],
    ids=["name", "case", "version", "build", "folder", "outside", "two", "toml", "cut", "noise", "rust"],
)
def test_28_to_32_what_contradicts_itself_is_refused(server: Running, name: str, version: str, made: bytes) -> None:
    had = blobs(server)
    answer = publish(server, name, version, made=made)
    assert answer.status == 400, answer.text
    assert said(answer)
    assert index(server, "shape").status == 404
    assert blobs(server) == had
    assert not [path for path in (server.data / "tmp").rglob("*") if path.is_file()]


def test_18_a_line_that_cargo_would_hide_is_refused(server: Running) -> None:
    had = blobs(server)
    for more in ({"deps": [dep(version_req="one")]}, {"deps": "none"}, {"features": {"a": [7]}}, {"v": 9}):
        answer = publish(server, "hidden", **more)
        assert answer.status == 400, answer.text
    assert index(server, "hidden").status == 404
    assert blobs(server) == had


GOOD = body(told("framed"), crate("framed"))
JSON = int.from_bytes(GOOD[:4], "little")
FRAMES = {
    "empty": b"",
    "a length cut": GOOD[:3],
    "json cut": GOOD[: 4 + JSON - 1],
    "no second length": GOOD[: 4 + JSON],
    "second length cut": GOOD[: 4 + JSON + 2],
    "no crate": GOOD[: 8 + JSON],
    "crate cut": GOOD[:-1],
    "more": GOOD + b"x",
    "json beyond": struct.pack("<I", len(GOOD)) + GOOD[4:],
    "json of 4 GiB": b"\xff" * 4 + GOOD[4:],
    "crate of 4 GiB": GOOD[: 4 + JSON] + b"\xff" * 4 + GOOD[8 + JSON :],
    "json of 0": bytes(4) + GOOD[4:],
    "crate of 0": GOOD[: 4 + JSON] + bytes(4),
    "no json": struct.pack("<I", 4) + b"nope" + GOOD[4 + JSON :],
    "no object": struct.pack("<I", 2) + b"[]" + GOOD[4 + JSON :],
    "no name": struct.pack("<I", 2) + b"{}" + GOOD[4 + JSON :],
    "zeros": bytes(64),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_34_to_37_bodies_whose_lengths_lie(server: Running, kind: str) -> None:
    had = blobs(server)
    answer = upload(server, FRAMES[kind])
    assert answer.status == 400, answer.text
    assert said(answer)
    assert index(server, "framed").status == 404
    assert blobs(server) == had
    assert not [path for path in (server.data / "tmp").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "headers", [{}, {"Content_Type": "application/octet-stream"}, {"Content_Type": "x/y", "Accept": "application/json"}]
)
def test_any_content_type_or_none(server: Running, headers: dict[str, str]) -> None:
    name = f"typed{len(str(headers))}"
    assert upload(server, body(told(name), crate(name)), **headers).status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_38_a_body_above_the_limit(server: Running, declared: bool) -> None:
    large = crate("large", files={"noise": blob("large", 400_000)})
    sent = body(told("large"), large)
    assert len(sent) > LIMIT
    if declared:
        answer = upload(server, sent, at="small")
    else:
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)
        answer = upload(server, chunked, at="small", Transfer_Encoding="chunked")
    assert answer.status == 413
    assert said(answer)
    assert answer.header("connection") == "close"
    assert index(server, "large", at="small").status == 404
    assert publish(server, f"small{declared}", to="small").status == 200
    assert not [path for path in (server.data / "tmp").rglob("*") if path.is_file()]


@pytest.mark.parametrize("at", ["far", "closed-far"])
def test_a_proxy_takes_no_publish(server: Running, at: str) -> None:
    answer = publish(server, "proxied", to=at)
    assert answer.status == 405
    assert said(answer)
    for method, path in (
        ("DELETE", "api/v1/crates/proxied/1.0.0/yank"),
        ("PUT", "api/v1/crates/proxied/1.0.0/unyank"),
        ("PUT", "proxied-1.0.0.crate"),
        ("DELETE", "manage/proxied/1.0.0"),
    ):
        assert ask(server, method, path, at=at, sent=b"").status in (404, 405), path


def test_an_unknown_repository(server: Running) -> None:
    answer = publish(server, "lost", to="nowhere")
    assert answer.status == 404
    assert said(answer)
    for path in ("config.json", "1/a", "api/v1/crates?q=x", "api/v1/crates/a/1.0.0/download", "me"):
        assert server.ask(f"/cargo/nowhere/{path}").status == 404


@pytest.mark.parametrize(
    ("shown", "status"),
    [(None, 401), ("rlq_nobody", 401), ("Bearer rlq_nobody", 401), (basic("ann", "p@ss:w/rd"), 403)],
    ids=["nobody", "a bad token", "a bad bearer", "no right"],
)
def test_12_who_may_not_publish(server: Running, shown: str | None, status: int) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    sent = body(told("guarded"), crate("guarded"))
    answer = server.ask(NEW, method="PUT", headers=headers, body=sent)
    # The Book says 403 of bad tokens here; cargo reads either, and 401 makes it say which token is wrong.
    assert answer.status == status
    assert said(answer)
    assert index(server, "guarded").status == 404


def test_a_token_is_taken_bare_or_with_a_scheme(server: Running) -> None:
    for at, shown in enumerate((server.token, f"Bearer {server.token}", basic("__token__", server.token))):
        sent = body(told(f"shown{at}"), crate(f"shown{at}"))
        assert server.ask(NEW, method="PUT", headers={"Authorization": shown}, body=sent).status == 200


def test_a_bare_archive_is_published_by_curl(server: Running, tmp_path: Path) -> None:
    manifest = toml("curled", "1.0.0", dependencies={"leaf": {"version": "1", "features": ["x"]}}, features={"d": []})
    path = tmp_path / "any-name.crate"
    path.write_bytes(crate("curled", manifest=manifest, files={"README.md": b"# read me\n"}))
    words = ["curl", "-sS", "-w", "%{http_code}", "-H", f"Authorization: {server.token}", "-T", str(path)]
    done = subprocess.run([*words, f"{server.url}cargo/main/"], capture_output=True, timeout=30, check=True)
    assert done.stdout.endswith(b"201"), done.stdout
    (line,) = lines(server, "curled")
    assert (line["cksum"], line["features"]) == (checksum(path.read_bytes()), {"d": []})
    assert [(each["name"], each["req"], each["features"], each["registry"]) for each in line["deps"]] == [
        ("leaf", "^1", ["x"], None)
    ]
    assert download(server, "curled").body == path.read_bytes()
    again = subprocess.run([*words, f"{server.url}cargo/local/"], capture_output=True, timeout=30, check=True)
    assert again.stdout.endswith(b"200"), again.stdout
    assert ask(server, "PUT", "x.crate", sent=crate("curled", files={"other": b""})).status == 409


@pytest.mark.parametrize("made", [b"", b"no archive", crate("nul"), crate("bare-bad", folder="x")])
def test_a_bare_archive_that_is_none(server: Running, made: bytes) -> None:
    answer = ask(server, "PUT", "bare-bad-1.0.0.crate", sent=made)
    assert answer.status == 400
    assert said(answer)


def test_a_readme_is_had_beside_the_archive_and_never_listed(server: Running) -> None:
    text = "# h\u00e9llo\n<script>x</script>\n".encode()
    made = crate("Read_Me", files={"README.md": text})
    assert publish(server, "Read_Me", made=made, readme="something else", readme_file="README.md").status == 200
    for name in ("Read_Me", "read_me"):
        answer = server.ask(f"/cargo/main/api/v1/crates/{name}/1.0.0/readme")
        assert (answer.status, answer.body) == (200, text)
        assert answer.header("content-type") == "text/plain; charset=utf-8"
        assert "sandbox" in (answer.header("content-security-policy") or "")
    assert (len(lines(server, "Read_Me")), len(shown(server, "Read_Me"))) == (1, 1)
    publish(server, "unread")
    assert server.ask("/cargo/local/api/v1/crates/unread/1.0.0/readme").status == 404


def test_27_two_crates_with_the_same_links(server: Running) -> None:
    for name in ("links-one", "links-two"):
        made = crate(name, manifest=toml(name, "1.0.0", links="z"))
        assert publish(server, name, made=made, links="z").status == 200
        assert lines(server, name)[0]["links"] == "z"


def test_23_the_own_index_is_null_under_each_of_its_names(server: Running) -> None:
    for at in ("local", "main"):
        own = [dep(registry=f"{scheme}{server.url}cargo/{at}/") for scheme in ("sparse+", "")]
        assert publish(server, f"own-{at}", to=at, deps=[*own, dep(registry="https://git.example/index")]).status == 200
        found = [each["registry"] for each in lines(server, f"own-{at}")[0]["deps"]]
        assert found == [None, None, "https://git.example/index"]


# --- at once ---


def test_49_twenty_versions_at_once_are_each_there_once(server: Running) -> None:
    wanted = [f"1.{at}.0" for at in range(20)]
    answers = together(*(partial(publish, server, "busy", version) for version in wanted))
    assert [answer.status for answer in answers] == [200] * 20
    found = lines(server, "busy")
    assert sorted(each["vers"] for each in found) == sorted(wanted)
    for each in found:
        made = download(server, "busy", each["vers"])
        assert checksum(made.body) == each["cksum"]
    (hit,) = json.loads(server.ask("/cargo/local/api/v1/crates?q=busy").body)["crates"]
    assert hit["max_version"] == "1.19.0"
    publish(server, "busy", "0.1.0")
    for at in ("local", "main"):
        assert lines(server, "busy", at=at)[:20] == found
        assert versions(server, "busy", at=at)[20:] == ["0.1.0"]


def test_40_the_same_version_sent_at_once_by_many_is_won_by_one(server: Running) -> None:
    made = [crate("raced", files={"at": str(at).encode()}) for at in range(6)]
    answers = together(*(partial(publish, server, "raced", made=each) for each in made))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    winner = made[[answer.status for answer in answers].index(200)]
    (line,) = lines(server, "raced")
    assert line["cksum"] == checksum(winner)
    assert download(server, "raced").body == winner


@pytest.mark.parametrize("at", range(4))
def test_4_build_metadata_sent_at_once(server: Running, at: int) -> None:
    name = f"meta-raced{at}"
    sent = ["1.0.7", "1.0.7+x", "1.0.7+y"]
    answers = together(*(partial(publish, server, name, version) for version in sent))
    assert sorted(answer.status for answer in answers) == [200, 409, 409]
    winner = sent[[answer.status for answer in answers].index(200)]
    assert versions(server, name) == [winner]
    for version in sent:
        assert download(server, name, version).status == (200 if version == winner else 404)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("numbers", [("1.0.0", "1.0.0", "1.0.0"), ("1.0.0", "2.0.0", "3.0.0")], ids=["same", "other"])
def test_5_spellings_sent_at_once(server: Running, numbers: tuple[str, str, str], at: int) -> None:
    stem = f"sp{numbers[1][0]}{at}"
    sent = list(zip((f"{stem}-x", f"{stem}_x", f"{stem.capitalize()}-X"), numbers, strict=True))
    answers = together(*(partial(publish, server, name, version) for name, version in sent))
    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == [200, 409, 409], [answer.text for answer in answers]
    name, version = sent[statuses.index(200)]
    assert [(line["name"], line["vers"]) for line in lines(server, name)] == [(name, version)]
    other = f"{stem}_x" if "-" in name else f"{stem}-x"
    assert index(server, other).status == 404
    for each in sent:
        made = download(server, *each)
        assert made.status == (200 if (each[0].lower(), each[1]) == (name.lower(), version) else 404)
        assert made.status == 404 or made.body == crate(name, version)
    assert shown(server, name) == [(version, name)]
    (hit,) = json.loads(server.ask(f"/cargo/local/api/v1/crates?q={name}").body)["crates"]
    assert (hit["name"], hit["max_version"]) == (name, version)
    for number in {each[1] for each in sent} - {version}:
        assert publish(server, name, number).status == 200, "what lost leaves nothing in the way"


def test_yanks_while_others_publish(server: Running) -> None:
    publish(server, "yanked-busy", "1.0.0")
    work = [partial(publish, server, "yanked-busy", f"2.{at}.0") for at in range(6)]
    yank = partial(ask, server, "DELETE", "api/v1/crates/yanked-busy/1.0.0/yank")
    answers = together(*work[:3], yank, *work[3:])
    assert [answer.status for answer in answers] == [200] * 7
    found = {line["vers"]: line["yanked"] for line in lines(server, "yanked-busy")}
    assert found == {"1.0.0": True, **{f"2.{at}.0": False for at in range(6)}}
    (hit,) = json.loads(server.ask("/cargo/local/api/v1/crates?q=yanked-busy").body)["crates"]
    assert hit["max_version"] == "2.5.0"


# --- two processes on one folder ---


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("pair") / "var", config=f"workers = 2\n{CONFIG}") as server:
        yield server


def test_41_one_crate_after_the_other_is_there_at_once_in_every_process(pair: Running) -> None:
    for at in range(15):
        name = f"member-{at}"
        assert index(pair, name, at="main").status == 404
        assert publish(pair, name, to="main", deps=[dep(f"member-{at - 1}")] if at else []).status == 200
        # Each request is a connection of its own, which either process may take.
        for _ in range(3):
            assert versions(pair, name, at="main") == ["1.0.0"]
    assert json.loads(pair.ask("/cargo/main/api/v1/crates?q=member&per_page=1").body)["meta"]["total"] == 15


def test_49_many_versions_at_once_by_two_processes(pair: Running) -> None:
    wanted = [f"1.{at}.0" for at in range(12)]
    answers = together(*(partial(publish, pair, "busy", version) for version in wanted))
    assert [answer.status for answer in answers] == [200] * 12
    assert sorted(versions(pair, "busy", at="main")) == sorted(wanted)
    found = json.loads(pair.ask("/cargo/main/api/v1/crates?q=busy").body)["crates"]
    assert [(each["name"], each["max_version"]) for each in found] == [("busy", "1.11.0")]


@pytest.mark.parametrize("at", range(4))
def test_4_5_races_of_two_processes_have_one_winner(pair: Running, at: int) -> None:
    sent = [(f"Two-{at}", "1.0.0"), (f"two_{at}", "1.0.0"), (f"two-{at}", "2.0.0"), (f"Two-{at}", "1.0.0+x")]
    answers = together(*(partial(publish, pair, name, version) for name, version in sent))
    won = [each for each, answer in zip(sent, answers, strict=True) if answer.status == 200]
    assert len(won) == 1, [answer.text for answer in answers]
    (row,) = [row for lower in (f"two-{at}", f"two_{at}") for row in lines(pair, lower)]
    assert [(row["name"], row["vers"])] == won
