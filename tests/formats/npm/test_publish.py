"""Publishing npm packages over HTTP: what is stored, what is refused, and what comes at once.

Numbers in names are items of npm.md, section 8.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.formats.npm.artefacts import basename, bundle, document, integrity, manifest, shasum, tarball
from tests.formats.npm.asking import delete, escaped, full, publish, put, said, short
from tests.running import Answer, Running


def blobs(server: Running) -> set[str]:
    return {path.name for path in (server.data / "blobs").rglob("*") if path.is_file()}


def together(count: int, work: Callable[[int], Answer]) -> list[Answer]:
    """Do something in so many threads at once."""
    answers: list[Answer] = []
    gate = threading.Barrier(count)

    def run(at: int) -> None:
        gate.wait(30)
        answers.append(work(at))

    threads = [threading.Thread(target=run, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


@pytest.mark.parametrize("name", ["whole", "@scope/whole"])
def test_a_publish_is_there_at_once_and_whole(server: Running, name: str) -> None:
    before = datetime.now(UTC)
    body = tarball(name, "1.2.3", bin="cli.js", engines=["node"], dependencies={"a": "^1"})
    answer = publish(server, name, "1.2.3", body=body, bin="cli.js", engines=["node"], dependencies={"a": "^1"})
    assert answer.status == 201
    told = json.loads(answer.body)
    assert (told["ok"], told["success"], told["id"]) == (True, True, name)
    for at in ("local", "main"):
        found = full(server, name, at=at)
        assert (found["_id"], found["name"], found["dist-tags"]) == (name, name, {"latest": "1.2.3"})
        assert found["_rev"] == told["rev"]
        made = found["versions"]["1.2.3"]
        url = f"{server.url}npm/{at}/{name}/-/{basename(name, '1.2.3')}"
        assert made["dist"]["tarball"] == url
        assert (made["dist"]["shasum"], made["dist"]["integrity"]) == (shasum(body), integrity(body))
        assert made["dist"]["fileCount"] == 2
        assert (made["_id"], made["bin"], made["engines"]) == (f"{name}@1.2.3", "cli.js", ["node"])
        assert made["_npmUser"]["name"] == "admin"
        assert [each["name"] for each in found["maintainers"]] == ["admin"]
        for word in ("created", "modified", "1.2.3"):
            assert abs(datetime.fromisoformat(found["time"][word]) - before) < timedelta(seconds=20)
        assert server.ask(url.removeprefix(server.url.rstrip("/"))).body == body
        brief = short(server, name, at=at)
        assert brief["versions"]["1.2.3"]["dist"] == made["dist"]
        assert brief["modified"] == found["time"]["modified"]
    assert blobs(server) >= {hashlib.sha256(body).hexdigest()}


def test_signatures_are_made_over_what_clients_check(server: Running) -> None:
    publish(server, "signed", "1.0.0")
    dist = full(server, "signed")["versions"]["1.0.0"]["dist"]
    (signature,) = dist["signatures"]
    told = json.loads(server.ask("/npm/local/-/npm/v1/keys").body)["keys"]
    (key,) = [each for each in told if each["keyid"] == signature["keyid"]]
    assert (key["keytype"], key["scheme"], key["expires"]) == ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", None)
    public = serialization.load_der_public_key(base64.b64decode(key["key"]))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    text = f"signed@1.0.0:{dist['integrity']}".encode()
    public.verify(base64.b64decode(signature["sig"]), text, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("spelling", ["@one/name", "@one%2fname", "@one%2Fname"])
def test_1_all_spellings_answer_the_same_bytes(server: Running, spelling: str) -> None:
    publish(server, "@one/name")
    for path in ("{}", "{}/1.0.0", "{}/-/name-1.0.0.tgz", "{}?write=true"):
        plain, other = (server.ask(f"/npm/local/{path.format(each)}") for each in ("@one/name", spelling))
        assert (other.status, other.body, other.header("etag")) == (200, plain.body, plain.header("etag"))
    tags = server.ask(f"/npm/local/-/package/{spelling}/dist-tags")
    assert json.loads(tags.body) == {"latest": "1.0.0"}


def test_3_the_same_tarball_name_in_two_packages(server: Running) -> None:
    bodies = {name: tarball(name, members={"own": name.encode()}) for name in ("mdurl", "@types/mdurl")}
    for name, body in bodies.items():
        assert publish(server, name, body=body).status == 201
    for name, body in bodies.items():
        assert server.ask(f"/npm/local/{name}/-/mdurl-1.0.0.tgz").body == body


def test_22_provenance_is_kept_and_served(server: Running) -> None:
    body = tarball("proven")
    proof = bundle("pkg:npm/proven@1.0.0")
    assert publish(server, "proven", body=body, provenance=proof).status == 201
    for at in ("local", "main"):
        dist = full(server, "proven", at=at)["versions"]["1.0.0"]["dist"]
        assert dist["attestations"]["url"] == f"{server.url}npm/{at}/-/npm/v1/attestations/proven@1.0.0"
        assert dist["attestations"]["provenance"] == {"predicateType": "https://slsa.dev/provenance/v1"}
        answer = server.ask(f"/npm/{at}/-/npm/v1/attestations/proven@1.0.0")
        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        (told,) = json.loads(answer.body)["attestations"]
        assert told == {"predicateType": "https://slsa.dev/provenance/v1", "bundle": proof}
    assert server.ask("/npm/local/-/npm/v1/attestations/proven@2.0.0").status == 404


def _attachment(sent: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(sent["_attachments"].values()))
    return found


def _length(sent: dict[str, Any]) -> None:
    _attachment(sent)["length"] += 1


def _base64(sent: dict[str, Any]) -> None:
    _attachment(sent)["data"] = "!" + _attachment(sent)["data"][1:]


def _cut(sent: dict[str, Any]) -> None:
    _attachment(sent)["data"] = _attachment(sent)["data"][:-8]
    del _attachment(sent)["length"]


def _said(member: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(sent: dict[str, Any]) -> None:
        next(iter(sent["versions"].values()))[member] = value

    return change


def _dist(member: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(sent: dict[str, Any]) -> None:
        next(iter(sent["versions"].values()))["dist"][member] = value

    return change


def _top(member: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(sent: dict[str, Any]) -> None:
        sent[member] = value

    return change


def _two(sent: dict[str, Any]) -> None:
    sent["versions"]["2.0.0"] = {**sent["versions"]["1.0.0"], "version": "2.0.0"}


def _filename(sent: dict[str, Any]) -> None:
    sent["_attachments"] = {"other-1.0.0.tgz": _attachment(sent)}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "length": (_length, "length"),
    "base64": (_base64, "base64"),
    "cut": (_cut, ""),
    "sha512": (_dist("integrity", integrity(b"other")), "sha512"),
    "sha1": (_dist("shasum", shasum(b"other")), "sha1"),
    "dependencies": (_said("dependencies", {"evil": "1"}), "dependency"),
    "scripts": (_said("scripts", {"postinstall": "evil"}), "install scripts"),
    "name": (_said("name", "other"), "name"),
    "version": (_said("version", "2.0.0"), "version"),
    "top name": (_top("name", "other"), "another package"),
    "no version": (_top("versions", {}), "one version"),
    "two versions": (_two, "one version"),
    "no semver": (_top("versions", {"one": {}}), "semver"),
    "no manifest": (_top("versions", {"1.0.0": None}), "manifest"),
    "file name": (_filename, "called"),
    "tags of other versions": (_top("dist-tags", {"latest": "9.0.0"}), "dist-tags"),
    "a tag that is a range": (_top("dist-tags", {"1.x": "1.0.0"}), "range"),
    "tags that are none": (_top("dist-tags", ["latest"]), "dist-tags"),
    "attachments that are none": (_top("_attachments", []), "_attachments"),
    "no tarball": (_top("_attachments", {"x.txt": {"stub": True}}), "tarball"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_23_what_contradicts_itself_is_400_and_leaves_nothing(server: Running, kind: str) -> None:
    change, words = WRONG[kind]
    sent = document("wrong", "1.0.0")
    change(sent)
    had = blobs(server)
    answer = put(server, "wrong", sent)
    assert answer.status == 400, answer.text
    assert words in said(answer)
    assert server.ask("/npm/local/wrong").status == 404
    assert blobs(server) == had
    assert not [path for path in (server.data / "tmp").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "body",
    [b"no archive", b"", tarball(package=[]), tarball(package={"name": "wrong"}), tarball("other"),
     tarball("wrong", "2.0.0"), tarball("wrong")[:-20]],
    ids=["noise", "empty", "list", "no version", "other name", "other version", "cut"],
)  # fmt: skip
def test_23_tarballs_that_are_not_of_this_version(server: Running, body: bytes) -> None:
    answer = publish(server, "wrong", body=body)
    assert (answer.status, server.ask("/npm/local/wrong").status) == (400, 404), answer.text


@pytest.mark.parametrize(
    ("name", "words"),
    [("Upper", "lower case"), ("_x", ""), (".x", ""), ("node_modules", ""), ("favicon.ico", ""), ("x" * 215, "")],
)
def test_30_names_for_nothing_new(server: Running, name: str, words: str) -> None:
    answer = publish(server, name)
    assert answer.status in (400, 404, 405)
    assert words in said(answer)


@pytest.mark.parametrize("name", ["constructor", "hasownproperty", "nul", "con", "@con/aux", "npm", "pnpm", "toString"])
def test_30_31_32_odd_names_are_names(server: Running, name: str) -> None:
    answer = publish(server, name)
    if name != name.lower():
        assert answer.status == 400
        return
    assert answer.status == 201, answer.text
    assert full(server, name)["name"] == name
    assert server.ask(f"/npm/local/{name}/-/{basename(name)}").body == tarball(name)
    files = {path.name.lower() for path in server.data.rglob("*") if path.is_file()}
    assert not files & {name, basename(name), name.rpartition("/")[2]}


def test_24_a_first_publish_under_another_tag_sets_latest_too(server: Running) -> None:
    assert publish(server, "tagged", "1.0.0", tags={"beta": "1.0.0"}).status == 201
    assert full(server, "tagged")["dist-tags"] == {"beta": "1.0.0", "latest": "1.0.0"}
    assert publish(server, "tagged", "2.0.0", tags={"beta": "2.0.0"}).status == 201
    assert full(server, "tagged")["dist-tags"] == {"beta": "2.0.0", "latest": "1.0.0"}
    assert short(server, "tagged")["dist-tags"] == {"beta": "2.0.0", "latest": "1.0.0"}


def test_28_a_prerelease_becomes_latest_only_where_it_is_told_to(server: Running) -> None:
    assert server.put("/npm/local/pre-1.0.0.tgz", tarball("pre", "1.0.0")).status == 201
    assert server.put("/npm/local/pre-2.0.0-rc.1.tgz", tarball("pre", "2.0.0-rc.1")).status == 201
    assert full(server, "pre")["dist-tags"]["latest"] == "1.0.0"
    assert publish(server, "pre", "2.0.0-rc.2").status == 201
    assert full(server, "pre")["dist-tags"]["latest"] == "2.0.0-rc.2"


@pytest.mark.parametrize("version", ["v1.0.0", "=1.0.0", "1.0.0+build.7", " 1.0.0 "])
def test_27_other_spellings_of_a_version_are_that_version(server: Running, version: str) -> None:
    name = f"spelled-{hashlib.sha1(version.encode()).hexdigest()[:6]}"
    body = tarball(name, version)
    sent = document(name, version, body=body)
    sent["_attachments"] = {f"{name}-1.0.0.tgz": _attachment(sent)}
    assert put(server, name, sent).status == 201
    assert list(full(server, name)["versions"]) == ["1.0.0"]
    again = publish(server, name, "1.0.0")
    assert again.status == 403
    for asked in ("1.0.0", "v1.0.0", "=1.0.0", "1.0.0+other"):
        assert json.loads(server.ask(f"/npm/local/{name}/{asked}").body)["version"] == "1.0.0"


def test_a_version_is_published_once(server: Running) -> None:
    assert publish(server, "once").status == 201
    for body in (tarball("once"), tarball("once", members={"other": b"1"})):
        again = publish(server, "once", body=body)
        assert again.status == 403
        assert said(again) == "You cannot publish over the previously published versions: 1.0.0."
    assert server.ask("/npm/local/once/-/once-1.0.0.tgz").body == tarball("once")


def test_a_publish_that_is_sent_again_in_one_session_is_no_news(server: Running) -> None:
    sent = json.dumps(document("again")).encode()
    first = server.put("/npm/local/again", sent, npm_session="abc")
    rev = full(server, "again")["_rev"]
    assert first.status == server.put("/npm/local/again", sent, npm_session="abc").status == 201
    assert full(server, "again")["_rev"] == rev
    assert server.put("/npm/local/again", sent, npm_session="xyz").status == 403
    other = json.dumps(document("again", body=tarball("again", members={"x": b"y"}))).encode()
    assert server.put("/npm/local/again", other, npm_session="abc").status == 403


def test_25_fifty_publishes_at_once_all_land(server: Running) -> None:
    versions = [f"1.{at}.0" for at in range(50)]
    answers = together(50, lambda at: publish(server, "many", versions[at]))
    assert Counter(answer.status for answer in answers) == {201: 50}
    for at in ("local", "main"):
        found = full(server, "many", at=at)
        assert set(found["versions"]) == set(found["time"]) - {"created", "modified"} == set(versions)
        assert found["dist-tags"]["latest"] in versions
        assert set(short(server, "many", at=at)["versions"]) == set(versions)
    assert server.ask("/npm/local/many/-/many-1.49.0.tgz").body == tarball("many", "1.49.0")


def test_26_the_same_version_at_once_is_published_once(server: Running) -> None:
    bodies = [tarball("race", members={"who": str(at).encode()}) for at in range(12)]
    answers = together(12, lambda at: publish(server, "race", body=bodies[at]))
    assert Counter(answer.status for answer in answers) == {201: 1, 403: 11}
    found = full(server, "race")["versions"]
    assert list(found) == ["1.0.0"]
    kept = server.ask("/npm/local/race/-/race-1.0.0.tgz").body
    assert kept in bodies
    assert found["1.0.0"]["dist"]["integrity"] == integrity(kept)


def test_26_the_same_bytes_at_once_are_published_once(server: Running) -> None:
    answers = together(8, lambda at: publish(server, "twin"))
    assert Counter(answer.status for answer in answers) == {201: 1, 403: 7}


def test_9_install_scripts_are_seen_in_the_tarball(server: Running) -> None:
    gyp = tarball("gyp", members={"binding.gyp": b"{}"})
    assert publish(server, "gyp", body=gyp, said={"hasInstallScript": False}).status == 201
    assert short(server, "gyp")["versions"]["1.0.0"]["hasInstallScript"] is True
    assert publish(server, "lying", said={"hasInstallScript": True}).status == 201
    assert "hasInstallScript" not in short(server, "lying")["versions"]["1.0.0"]
    assert publish(server, "hook", scripts={"postinstall": "x"}).status == 201
    assert short(server, "hook")["versions"]["1.0.0"]["hasInstallScript"] is True


@pytest.mark.parametrize("repository", ["x", {"url": "git+ssh://elsewhere.example/a.git"}, None, 7, ["a"], {"url": 7}])
def test_63_no_repository_field_refuses_a_publish(server: Running, repository: object) -> None:
    name = f"from-{hashlib.sha1(str(repository).encode()).hexdigest()[:8]}"
    assert publish(server, name, repository=repository).status == 201
    assert full(server, name)["versions"]["1.0.0"]["repository"] == repository
    assert server.ask(f"/npm/local/-/v1/search?text={name}").status == 200


@pytest.mark.parametrize("odd", [{"readme": {"a": 1}, "description": {"b": 1}}, {"keywords": "x, y", "author": 7}])
def test_56_58_odd_manifests_are_kept(server: Running, odd: dict[str, Any]) -> None:
    name = f"odd-{len(odd)}-{next(iter(odd))}"
    assert publish(server, name, bundleDependencies=True, **odd).status == 201
    found = full(server, name)
    kept = {key: value for key, value in odd.items() if key != "readme"}
    assert {key: found["versions"]["1.0.0"][key] for key in kept} == kept
    assert found["versions"]["1.0.0"]["bundleDependencies"] is True
    assert server.ask(f"/npm/local/-/v1/search?text={name}").status == 200


def test_56_a_large_readme_is_cut_and_not_in_the_short_form(server: Running) -> None:
    assert publish(server, "wordy", top={"readme": "r" * 3_000_000}).status == 201
    assert full(server, "wordy")["readme"] == "r" * 65_536
    assert (
        "readme" not in server.ask("/npm/local/wordy", headers={"Accept": "application/vnd.npm.install-v1+json"}).text
    )
    body = tarball("quiet", members={"README.md": b"# From the tarball"})
    assert publish(server, "quiet", body=body).status == 201
    assert full(server, "quiet")["readme"] == "# From the tarball"


@pytest.mark.parametrize("text", ["a\0b", "\ufdd0", "😀 \u2028", "\ud800"])
def test_59_every_text_is_taken_or_refused(server: Running, text: str) -> None:
    name = f"text-{ord(text[0]):x}"
    answer = publish(server, name, description=text, top={"readme": text})
    if text == "\ud800":
        assert answer.status == 400
        return
    assert answer.status == 201, answer.text
    found = full(server, name)
    assert server.url not in found["versions"]["1.0.0"]["description"] + found["readme"] + found["description"]
    assert "\0" not in found["readme"]
    if text != "\ufdd0":
        assert found["versions"]["1.0.0"]["description"] == text


def test_12_13_67_a_change_shows_at_once_and_is_never_confirmed(server: Running) -> None:
    publish(server, "changing")
    modified, seen = [], []
    for change in range(4):
        for accept in ("application/json", "application/vnd.npm.install-v1+json"):
            for at in ("local", "main"):
                answer = server.ask(f"/npm/{at}/changing", headers={"Accept": accept})
                seen.append((at, accept, answer.header("etag") or "", answer.header("last-modified") or ""))
        modified.append(full(server, "changing")["time"]["modified"])
        time.sleep(0.01)
        [
            lambda: publish(server, "changing", "2.0.0"),
            lambda: put(server, "-/package/changing/dist-tags/next", "1.0.0"),
            lambda: put(
                server, f"changing/-rev/{full(server, 'changing')['_rev']}", {"maintainers": [{"name": "ann"}]}
            ),
            lambda: delete(server, "changing/-/changing-1.0.0.tgz/-rev/x"),
        ][change]()
        for at, accept, etag, date in seen:
            for sent in ({"If-None-Match": etag}, {"If-None-Match": etag, "If-Modified-Since": date}):
                answer = server.ask(f"/npm/{at}/changing", headers={"Accept": accept, **sent})
                assert answer.status == 200, (change, at, accept)
            since = {"Accept": accept, "If-Modified-Since": date}
            assert server.ask(f"/npm/{at}/changing", headers=since).status == 200, (change, at, accept)
    modified.append(full(server, "changing")["time"]["modified"])
    assert modified == sorted(set(modified))


def test_7_14_answers_say_what_they_vary_with(server: Running) -> None:
    publish(server, "varied")
    plain = server.ask("/npm/local/varied")
    assert plain.status == 200
    for headers in ({}, {"If-None-Match": plain.header("etag") or ""}, {"Accept": "text/none"}):
        answer = server.ask("/npm/local/varied", headers=headers)
        assert answer.header("vary") == "Accept, Accept-Encoding", answer.status
    short_etag = server.ask("/npm/local/varied", headers={"Accept": "application/vnd.npm.install-v1+json"})
    assert server.ask("/npm/local/varied", headers={"If-None-Match": short_etag.header("etag") or ""}).status == 200


def test_37_62_headers_of_odd_clients(server: Running) -> None:
    publish(server, "asked")
    wanted = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
    answer = server.ask("/npm/local/asked/-/asked-1.0.0.tgz", headers={"Accept": wanted})
    assert (answer.status, answer.body) == (200, tarball("asked"))
    assert answer.header("content-type") == "application/octet-stream"
    assert server.ask("/npm/local/asked", headers={"Accept-Encoding": "gzip/deflate"}).status == 200
    assert server.ask("/npm/local/-/ping?write=true").body == b"{}"
    for accept, kind in (
        (wanted, "application/vnd.npm.install-v1+json"),
        ("application/vnd.npm.install-v1+json", "application/vnd.npm.install-v1+json"),
        ("application/json, */*", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ):
        answer = server.ask("/npm/local/asked", headers={"Accept": accept})
        assert (answer.status, answer.header("content-type")) == (200, kind), accept
    assert server.ask("/npm/local/asked").header("content-type") == "application/json"


def test_a_bare_tarball_is_published_by_what_is_in_it(server: Running) -> None:
    body = tarball("@bare/one", "1.0.0-rc.1", scripts={"test": "x"})
    assert server.put("/npm/local/anything.tgz?tag=next", body).status == 201
    found = full(server, "@bare/one")
    assert found["dist-tags"] == {"next": "1.0.0-rc.1", "latest": "1.0.0-rc.1"}
    assert found["versions"]["1.0.0-rc.1"]["scripts"] == {"test": "x"}
    for path, wrong in (("x.tgz?tag=1.x", tarball("bare")), ("x.tgz", tarball("Bare")), ("x.tgz", body[:-9])):
        assert server.put(f"/npm/local/{path}", wrong).status == 400


def test_the_address_and_the_document_are_of_one_package(server: Running) -> None:
    sent = document("mine")
    assert put(server, "other", sent).status == 400
    assert server.ask("/npm/local/mine").status == server.ask("/npm/local/other").status == 404
    assert put(server, escaped("@s/mine"), document("@s/mine")).status == 201


def test_a_manifest_keeps_what_nobody_here_knows(server: Running) -> None:
    more: dict[str, Any] = {
        "exports": {".": "./x.js"},
        "type": "module",
        "workspaces": ["a"],
        "x-own": {"deep": [1, 2.5, None]},
    }
    publish(server, "kept", **more)
    found = full(server, "kept")["versions"]["1.0.0"]
    assert {key: found[key] for key in more} == more
    assert {key: found[key] for key in manifest("kept")} == manifest("kept")
    assert "_attachments" not in full(server, "kept")
