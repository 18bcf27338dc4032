"""The shortest way through everything: start, publish, list, get, stop, start again."""

from __future__ import annotations

from pathlib import Path

from tests.running import running

NONE = 'upstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'


def test_a_published_file_is_listed_served_and_survives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "var", config=NONE) as server:
        assert server.put("/generic/main/a/b.txt", b"hello").status == 201
        assert server.put("/generic/main/a/b.txt", b"hello").status == 200
        assert server.put("/generic/main/a/b.txt", b"other").status == 409
        assert b"b.txt" in server.ask("/generic/main/a/").body
        assert server.ask("/generic/local/a/b.txt").body == b"hello"
    with running(tmp_path / "var", config=NONE) as server:
        assert server.ask("/generic/main/a/b.txt").body == b"hello"
        assert server.ask("/generic/main/a/c.txt").status == 404
