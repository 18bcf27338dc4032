"""``reliquary import`` of .crate files, before any server runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.formats.cargo.artefacts import checksum, crate, toml
from tests.formats.cargo.conftest import CONFIG, download, lines
from tests.running import environment, reliquary, running


def bring(data: Path, *words: str, code: int = 0) -> Any:
    """Run the command on a data folder; what it prints for programs."""
    config = data.parent / "import.toml"
    config.write_text(CONFIG)
    command = [*reliquary(), "import", *words, "--json", "--data", str(data), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return json.JSONDecoder().raw_decode(done.stdout)[0]


def test_crates_of_a_folder_are_published(tmp_path: Path) -> None:
    source, data = tmp_path / "in", tmp_path / "var"
    (source / "cache").mkdir(parents=True)
    needs = toml("needs", "1.0.0", dependencies={"Leaf_One": "1.2"})
    made = {
        "cache/Leaf_One-1.2.0+b.crate": crate("Leaf_One", "1.2.0+b"),
        "cache/Leaf_One-1.10.0.crate": crate("Leaf_One", "1.10.0"),
        "needs-1.0.0.crate": crate("needs", manifest=needs, files={"README.md": b"# needs\n"}),
    }
    for name, content in made.items():
        (source / name).write_bytes(content)
    (source / "broken-1.0.0.crate").write_bytes(b"no archive")
    (source / "notes.txt").write_bytes(b"no crate")
    first = bring(data, str(source), code=1)
    assert (first["new"], first["there"], first["skipped"]) == (3, 0, 1)
    assert [Path(each["path"]).name for each in first["refused"]] == ["broken-1.0.0.crate"]
    (source / "broken-1.0.0.crate").unlink()
    again = bring(data, str(source), "--jobs", "4")
    assert (again["new"], again["there"], again["refused"]) == (0, 3, [])
    assert bring(data, str(source / "cache"), "--to", "cargo/closed")["new"] == 2
    with running(data, config=CONFIG) as server:
        assert {line["vers"] for line in lines(server, "Leaf_One", at="main")} == {"1.2.0+b", "1.10.0"}
        assert download(server, "leaf_one", "1.2.0+b").body == made["cache/Leaf_One-1.2.0+b.crate"]
        (line,) = lines(server, "needs")
        assert line["cksum"] == checksum(made["needs-1.0.0.crate"])
        assert [(each["name"], each["req"], each["registry"]) for each in line["deps"]] == [("Leaf_One", "^1.2", None)]
        assert server.ask("/cargo/local/api/v1/crates/needs/1.0.0/readme").body == b"# needs\n"
        found = json.loads(server.ask("/cargo/local/api/v1/crates?q=leaf").body)["crates"]
        assert [(each["name"], each["max_version"]) for each in found] == [("Leaf_One", "1.10.0")]


def test_of_a_crate_in_two_spellings_one_is_taken(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("foo-bar", "foo_bar"):
        (source / f"{name}-1.0.0.crate").write_bytes(crate(name))
    outcome = bring(tmp_path / "var", str(source), "--jobs", "2", code=1)
    assert (outcome["new"], len(outcome["refused"])) == (1, 1)
