"""Commands on a data folder, with a running server and without one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.formats.pypi.artefacts import wheel
from tests.running import Running, basic, environment, reliquary, running
from tests.upstreams import playing

CONFIG = """
upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }
gc_grace = 0
reserve = 0

[[repositories]]
format = "generic"
name = "fixed"
kind = "hosted"

[[users]]
name = "robot"
"""


class Folder:
    """A data folder and the commands on it."""

    def __init__(self, root: Path, config: str = CONFIG) -> None:
        self.data = root / "var"
        self.config = root / "commands.toml"
        self.config.write_text(config)

    def run(self, *words: str, code: int = 0, given: str = "", config: bool = True) -> str:
        """Run a command; returns what it printed. Fails when its exit code is another one."""
        command = [*reliquary(), *words, "--data", str(self.data)]
        command += ["--config", str(self.config)] if config else []
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env=environment(COLUMNS="200"), timeout=60
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + (done.stderr if code else "")

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command prints for programs."""
        printed = self.run(*words, "--json", code=code)
        return json.JSONDecoder().raw_decode(printed)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Folder, Running]]:
    folder = Folder(tmp_path)
    with running(folder.data, config=CONFIG) as server:
        yield folder, server


def test_a_running_server_learns_of_every_change(served: tuple[Folder, Running]) -> None:
    folder, server = served
    folder.run("repo", "create", "generic/team", "hosted", "--closed")
    assert server.ask("/generic/team/a.txt").status == 401
    folder.run("user", "add", "ann", "--password-stdin", given="long enough\n")
    folder.run("user", "grant", "ann", "generic/*", "read,publish", "--packages", "acme-*")
    ann = {"Authorization": basic("ann", "long enough")}
    assert server.ask("/generic/team/acme-1", method="PUT", body=b"x", headers=ann).status == 201
    assert server.ask("/generic/team/other", method="PUT", body=b"x", headers=ann).status == 403
    token = folder.run(
        "token", "create", "ci", "--user", "ann", "--scope", "read:generic/team", "--expires", "1d"
    ).strip()
    assert server.ask("/generic/team/acme-1", token=token).body == b"x"
    assert server.ask("/generic/team/acme-2", method="PUT", body=b"x", token=token).status == 403
    (row,) = folder.json("token", "list", "--user", "ann")
    assert token.startswith(row["begins"])
    folder.run("token", "revoke", str(row["id"]))
    assert server.ask("/generic/team/acme-1", token=token).status == 401
    folder.run("user", "revoke", "ann", "generic/*")
    assert server.ask("/generic/team/acme-1", headers=ann).status == 403
    folder.run("repo", "set", "generic/team", "--public")
    assert server.ask("/generic/team/acme-1").status == 200
    folder.run("package", "delete", "generic/team", "acme-1", "--yes")
    assert server.ask("/generic/team/acme-1").status == 404
    folder.run("user", "delete", "ann", "--yes")
    assert server.ask("/generic/team/", headers=ann).status == 401
    folder.run("repo", "delete", "generic/team", "--yes")
    assert server.ask("/generic/team/").status == 404


def test_declared_things_stay_declared_whatever_commands_say(served: tuple[Folder, Running]) -> None:
    folder, server = served
    assert "declared" in folder.run("repo", "set", "generic/fixed", "--closed", code=1)
    assert "declared" in folder.run("repo", "delete", "generic/fixed", "--yes", code=1)
    assert "declared" in folder.run("user", "delete", "robot", "--yes", code=1)
    assert "declared" in folder.run("user", "passwd", "robot", "--password-stdin", given="long enough\n", code=1)
    folder.run("repo", "list", config=False)
    answer = server.ask("/api/v1/repositories/generic/fixed", token=server.token)
    assert json.loads(answer.body)["declared"] is True


def test_repositories_without_a_server(folder: Folder) -> None:
    folder.run(
        "repo",
        "create",
        "generic/far",
        "proxy",
        "--upstream",
        "http://me:s3cret-word@far.example/",
        "--rule",
        "deny:acme-*",
    )
    folder.run(
        "repo", "create", "generic/all", "group", "--member", "local", "--member", "far", "--option", "publish_to=local"
    )
    folder.run("repo", "set", "generic/far", "--option", "page_life=60", "--option", "pins=a-*,b-*")
    shown = folder.json("repo", "show", "generic/far")
    assert shown["options"] == {"page_life": 60, "pins": ["a-*", "b-*"]}
    assert (shown["upstream"], shown["rules"]) == (["http://far.example/"], ["deny:acme-*"])
    folder.run("repo", "set", "generic/far", "--option", "pins=", "--no-rules")
    shown = folder.json("repo", "show", "generic/far")
    assert (shown["options"], shown["rules"]) == ({"page_life": 60}, [])
    found = folder.json("upstreams")
    assert found["upstreams"] == [
        {"repository": "generic/far", "upstream": "http://far.example/", "found_in": "given", "credentials": True}
    ]
    assert "settings say none" in found["none"]["pypi"]
    for words in (("repo", "list"), ("repo", "show", "generic/far"), ("upstreams",)):
        assert "s3cret-word" not in folder.run(*words)
    assert "circle" in folder.run("repo", "set", "generic/all", "--member", "all", "--option", "publish_to=", code=1)
    assert "page_life" in folder.run("repo", "set", "generic/far", "--option", "page_life=601", code=1)
    assert "no repository" in folder.run("repo", "show", "generic/none", code=1)


def test_an_import_publishes_what_it_knows_and_says_what_it_refused(folder: Folder, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "acme-1.0-py3-none-any.whl").write_bytes(wheel("acme", "1.0"))
    (source / "bad-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    (source / "notes.txt").write_bytes(b"hello")
    first = folder.json("import", str(source), code=1)
    assert (first["new"], first["there"], first["skipped"]) == (1, 0, 1)
    assert [Path(each["path"]).name for each in first["refused"]] == ["bad-1.0-py3-none-any.whl"]
    (source / "bad-1.0-py3-none-any.whl").unlink()
    again = folder.json("import", str(source), "--jobs", "4")
    assert (again["new"], again["there"], again["refused"]) == (0, 1, [])
    there = folder.json("import", str(source), "--to", "generic/local")
    assert (there["new"], there["skipped"]) == (2, 0)
    assert "does not exist" in folder.run("import", str(tmp_path / "none"), code=1)
    assert "no repository" in folder.run("import", str(source), "--to", "generic/none", code=1)
    with running(folder.data, config=CONFIG) as server:
        assert b"acme-1.0-py3-none-any.whl" in server.ask("/pypi/main/simple/acme/").body
        assert server.ask("/generic/main/notes.txt").body == b"hello"
        assert server.ask("/generic/main/deep/acme-1.0-py3-none-any.whl").status == 200


def test_yank_status_and_deletion_of_a_version(served: tuple[Folder, Running], tmp_path: Path) -> None:
    folder, server = served
    path = tmp_path / "acme-1.0-py3-none-any.whl"
    path.write_bytes(wheel("acme", "1.0"))
    folder.run("import", str(path))
    page = "/pypi/main/simple/acme/"
    assert b"data-yanked" not in server.ask(page).body
    folder.run("package", "yank", "pypi/local", "acme", "1.0", "--reason", "broken build")
    assert b'data-yanked="broken build"' in server.ask(page).body
    folder.run("package", "unyank", "pypi/local", "acme", "1.0")
    assert b"data-yanked" not in server.ask(page).body
    folder.run("package", "status", "pypi/local", "acme", "archived", "--reason", "old")
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    assert json.loads(server.ask(page, headers=accept).body)["project-status"]["status"] == "archived"
    assert "must be one of" in folder.run("package", "status", "pypi/local", "acme", "odd", code=1)
    at = "/api/v1/repositories/pypi/main/packages/acme"
    sent = {"Content-Type": "application/json"}
    yanked = server.ask(
        f"{at}/versions/1.0/yank", method="PUT", headers=sent, body=b'{"reason": "x"}', token=server.token
    )
    assert yanked.status == 204
    assert b'data-yanked="x"' in server.ask(page).body
    assert server.ask(f"{at}/versions/1.0/yank", method="DELETE", token=server.token).status == 204
    folder.run("package", "delete", "pypi/local", "acme", "1.0", "--yes")
    assert b"acme-1.0" not in server.ask(page).body
    assert "no such verb" in folder.run("package", "yank", "generic/local", "a", "1", code=1)
    assert server.ask("/generic/local/manage/a/1/yank").status == 404


def blobs(data: Path) -> list[Path]:
    """Files of the blob store by their digest."""
    return [path for path in (data / "blobs").rglob("*") if path.is_file() and len(path.name) == 64]


def test_verify_finds_damage_and_gc_frees_what_nothing_names(folder: Folder, tmp_path: Path) -> None:
    for name, body in (("a.txt", b"first"), ("b.txt", b"second"), ("c.txt", b"third")):
        path = tmp_path / name
        path.write_bytes(body)
        folder.run("import", str(path), "--to", "generic/local")
    assert folder.json("verify") == {"checked": 3, "bytes": 16, "damage": []}
    folder.run("package", "delete", "generic/local", "c.txt", "--yes")
    assert folder.json("gc", "--dry-run") == {"blobs": 1, "bytes": 5, "removed": False}
    assert len(blobs(folder.data)) == 3
    assert folder.json("gc") == {"blobs": 1, "bytes": 5, "removed": True}
    assert len(blobs(folder.data)) == 2
    first, second = sorted(blobs(folder.data), key=lambda path: path.stat().st_size)
    os.chmod(first, 0o600)
    first.write_bytes(b"worse")
    second.unlink()
    found = {each["key"]: each["problem"] for each in folder.json("verify", code=1)["damage"]}
    assert found == {"a.txt": "other bytes than its name says", "b.txt": "missing"}


def test_verify_finds_a_listed_file_without_bytes(folder: Folder, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "a.txt"
    path.write_bytes(b"first")
    folder.run("import", str(path), "--to", "generic/local")
    with closing(sqlite3.connect(folder.data / "reliquary.db")) as connection:
        connection.execute("UPDATE files SET blob = NULL")
        connection.commit()
    damage = folder.json("verify", code=1)["damage"]
    assert [(each["key"], each["problem"]) for each in damage] == [("a.txt", "listed without bytes")]


def test_refresh_and_purge_of_a_proxy(tmp_path: Path) -> None:
    with playing() as upstream:
        upstream.put("/x/a.txt", b"hello")
        upstream.put(
            "/x/",
            b'<html><title>Index of /x/</title><body><a href="a.txt">a.txt</a></body></html>',
            content_type="text/html",
        )
        folder = Folder(tmp_path, CONFIG + "\n")
        settings = "upstream_private = true\n" + CONFIG
        folder.config.write_text(settings)
        folder.run("repo", "create", "generic/far", "proxy", "--upstream", f"{upstream.url}x/")
        with running(folder.data, config=settings) as server:
            assert server.ask("/generic/far/a.txt").body == b"hello"
        assert folder.run("purge", "generic/far").startswith("forgot 1 files")
        assert folder.run("purge", "generic/far").startswith("forgot 0 files")
        folder.run("gc")
        assert blobs(folder.data) == []
        with running(folder.data, config=settings) as server:
            assert server.ask("/generic/far/a.txt").body == b"hello"
        assert upstream.hits("/x/a.txt", "GET") == 2
        assert folder.run("refresh", "generic/far").startswith("refreshed 1 pages")
        assert "no repository" in folder.run("refresh", "generic/none", code=1)
        grades = {(each["name"], each["grade"]) for each in folder.json("doctor")}
        assert ("upstream", "ok") in grades
        upstream.stop()
        grades = {(each["name"], each["grade"]) for each in folder.json("doctor", code=1)}
        assert ("upstream", "fail") in grades


def test_doctor_says_what_is_wrong_and_makes_nothing(folder: Folder) -> None:
    assert "start reliquary serve" in folder.run("doctor", code=1)
    assert not folder.data.exists()
    folder.run("repo", "list")
    assert {each["grade"] for each in folder.json("doctor")} == {"ok"}
    folder.data.chmod(0o755)
    checks = {each["name"]: each for each in folder.json("doctor") if each["grade"] == "warn"}
    assert "chmod 700" in checks["data folder"]["remedy"]
    (folder.data / "reliquary.db").write_bytes(b"no database at all" * 1000)
    for rest in ("reliquary.db-wal", "reliquary.db-shm"):
        (folder.data / rest).unlink(missing_ok=True)
    failed = [each["name"] for each in folder.json("doctor", code=1) if each["grade"] == "fail"]
    assert failed == ["database"]


def test_doctor_names_the_server_that_runs(served: tuple[Folder, Running]) -> None:
    folder, server = served
    assert f"process {server.process.pid}" in folder.run("doctor")


def test_passwords_follow_the_rules_and_are_never_arguments(folder: Folder) -> None:
    assert "8 to 1024" in folder.run("user", "add", "ann", "--password-stdin", given="short\n", code=1)
    folder.run("user", "add", "ann", "--no-password")
    folder.run("user", "passwd", "ann", "--password-stdin", given="long enough\n")
    assert "last administrator" in folder.run("user", "delete", "admin", "--yes", code=1)
    folder.run("user", "delete", "ann", given="n\n", code=1)
    assert [user["name"] for user in folder.json("user", "list")] == ["admin", "ann", "robot"]
