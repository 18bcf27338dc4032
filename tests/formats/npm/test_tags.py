"""Dist-tags over HTTP: set, listed, removed, in every spelling.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import json
import threading

import pytest

from tests.formats.npm.asking import delete, full, publish, put, said, short
from tests.running import Running

NAMES = ["tags", "@s/tags", "@s%2ftags", "@s%2Ftags"]


def tags(server: Running, name: str, at: str = "local") -> dict[str, str]:
    answer = server.ask(f"/npm/{at}/-/package/{name}/dist-tags")
    assert answer.status == 200, answer.text
    found: dict[str, str] = json.loads(answer.body)
    return found


@pytest.fixture(scope="module", autouse=True)
def packages(server: Running) -> None:
    for name in ("tags", "@s/tags", "races"):
        for version in ("1.0.0", "2.0.0", "3.0.0-rc.1"):
            assert publish(server, name, version, tags={"rc" if "-" in version else "latest": version}).status == 201


@pytest.mark.parametrize("to", ["local", "main"])
@pytest.mark.parametrize("name", NAMES)
def test_1_a_tag_is_set_moved_and_removed(server: Running, name: str, to: str) -> None:
    path = f"-/package/{name}/dist-tags/"
    plain = name.replace("%2f", "/").replace("%2F", "/")
    for tag in ("beta", "a%2fb", "x.y_z-1"):
        decoded = tag.replace("%2f", "/")
        for version in ("1.0.0", "3.0.0-rc.1"):
            answer = put(server, path + tag, version, to=to)
            assert (answer.status, json.loads(answer.body)["ok"]) == (201, True)
            for at in ("local", "main"):
                assert tags(server, name, at)[decoded] == version
                assert full(server, plain, at=at)["dist-tags"][decoded] == version
                assert short(server, plain, at=at)["dist-tags"][decoded] == version
        assert json.loads(delete(server, path + tag, to=to).body)["ok"] is True
        assert decoded not in tags(server, name)
        assert delete(server, path + tag, to=to).status == 404


def test_legacy_tags(server: Running) -> None:
    assert put(server, "tags/legacy", "1.0.0").status == 201
    assert json.loads(server.ask("/npm/local/tags/legacy").body)["version"] == "1.0.0"
    assert delete(server, "-/package/tags/dist-tags/legacy").status == 200


def test_whole_maps(server: Running) -> None:
    path = "-/package/@s%2ftags/dist-tags"
    assert put(server, path, {"latest": "1.0.0", "one": "1.0.0", "two": "2.0.0"}).status == 201
    assert tags(server, "@s/tags") == {"latest": "1.0.0", "one": "1.0.0", "two": "2.0.0"}
    body = json.dumps({"three": "3.0.0-rc.1"}).encode()
    assert server.ask(f"/npm/local/{path}", method="POST", body=body, token=server.token).status == 201
    assert tags(server, "@s/tags") == {"latest": "1.0.0", "one": "1.0.0", "two": "2.0.0", "three": "3.0.0-rc.1"}
    assert put(server, path, {"only": "2.0.0"}).status == 201
    assert tags(server, "@s/tags") == {"latest": "1.0.0", "only": "2.0.0"}
    assert put(server, path, {"latest": "2.0.0"}).status == 201


@pytest.mark.parametrize(
    ("tag", "value", "status"),
    [
        ("1.x", "1.0.0", 400),
        ("1.0.0", "1.0.0", 400),
        ("v2", "1.0.0", 400),
        ("%5e1", "1.0.0", 400),
        ("x" * 215, "1.0.0", 400),
        ("a%20b", "1.0.0", 400),
        ("ok", "9.9.9", 404),
        ("ok", "one", 400),
        ("ok", 7, 400),
        ("ok", None, 400),
        ("ok", {"a": 1}, 400),
    ],
)
def test_what_is_no_tag_or_names_no_version(server: Running, tag: str, value: object, status: int) -> None:
    before = tags(server, "tags")
    for path in (f"-/package/tags/dist-tags/{tag}", f"tags/{tag}"):
        answer = put(server, path, value)
        assert answer.status == status, answer.text
        assert said(answer)
    assert tags(server, "tags") == before


def test_latest_stays(server: Running) -> None:
    answer = delete(server, "-/package/tags/dist-tags/latest")
    assert answer.status == 400
    assert "latest cannot be removed" in said(answer)
    assert put(server, "-/package/tags/dist-tags/latest", "3.0.0-rc.1").status == 201
    assert json.loads(server.ask("/npm/main/tags/latest").body)["version"] == "3.0.0-rc.1"
    assert put(server, "-/package/tags/dist-tags/latest", "v2.0.0").status == 201
    assert tags(server, "tags")["latest"] == "2.0.0"


def test_tags_of_nothing(server: Running) -> None:
    assert server.ask("/npm/local/-/package/nobody/dist-tags").status == 404
    assert put(server, "-/package/nobody/dist-tags/any", "1.0.0").status == 404
    assert delete(server, "-/package/nobody/dist-tags/any").status == 404
    assert server.put("/npm/local/-/package/tags/dist-tags/any", b"1.0.0").status == 400
    assert put(server, "-/package/tags/dist-tags", ["x"]).status == 400


def test_tags_that_are_set_at_once_all_stay(server: Running) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda at=at: statuses.append(put(server, f"-/package/races/dist-tags/t-{at}", "1.0.0").status)
        )
        for at in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [201] * 20
    wanted = {"latest": "2.0.0", "rc": "3.0.0-rc.1", **{f"t-{at}": "1.0.0" for at in range(20)}}
    assert tags(server, "races") == tags(server, "races", "main") == full(server, "races")["dist-tags"] == wanted
