"""npm's addresses: every spelling of a name, what is a file, a page or a question, and what is reserved.

Numbers in names and comments are items of npm.md, section 8.
"""

from __future__ import annotations

import itertools

import pytest

from reliquary.formats.base import Call, FileKey, PageKey
from reliquary.formats.npm import FORMAT, accounts, audit, change, publish, search, services, signatures, tags, views
from reliquary.web.paths import split

REV = "7-0000000000000007"


def match(path: str, method: str = "GET", query: dict[str, str] | None = None) -> object:
    """What a raw path below a repository leads to."""
    return FORMAT.match(method, split(path.encode()) if path else (), query or {})


def run(path: str, method: str = "GET", query: dict[str, str] | None = None) -> object:
    """The call it leads to."""
    found = match(path, method, query)
    return found.run if isinstance(found, Call) else found


SPELLINGS = ("@s/p", "@s%2fp", "@s%2Fp", "%40s%2fp", "%40s/p")


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "{}"),
        ("HEAD", "{}"),
        ("GET", "{}/"),
        ("GET", "{}/1.0.0"),
        ("GET", "{}/next"),
        ("GET", "{}/-/p-1.0.0.tgz"),
        ("GET", "{}/-/@s/p-1.0.0.tgz"),
        ("GET", "{}/-/@s%2fp-1.0.0.tgz"),
        ("PUT", "{}"),
        ("PUT", "{}/next"),
        ("PUT", "{}/-rev/" + REV),
        ("DELETE", "{}/-rev/" + REV),
        ("DELETE", "{}/-/p-1.0.0.tgz/-rev/" + REV),
        ("GET", "-/package/{}/dist-tags"),
        ("PUT", "-/package/{}/dist-tags"),
        ("PUT", "-/package/{}/dist-tags/next"),
        ("DELETE", "-/package/{}/dist-tags/next"),
        ("GET", "-/package/{}/collaborators"),
        ("GET", "-/package/{}/visibility"),
        ("POST", "-/package/{}/access"),
        ("GET", "-/npm/v1/attestations/{}@1.0.0"),
    ],
)
def test_1_every_spelling_of_a_scoped_name_is_one(name: str, method: str, path: str) -> None:
    found, plain = match(path.format(name), method), match(path.format("@s/p"), method)
    assert found is not None
    assert found == plain
    assert found.name == "@s/p" if isinstance(found, Call | FileKey | PageKey) else False


CALLS = [
    ("GET", "", views.root),
    ("GET", "-/ping", views.ping),
    ("GET", "-/v1/search", search.search),
    ("GET", "-/npm/v1/keys", signatures.keys),
    ("POST", "-/npm/v1/security/advisories/bulk", audit.bulk),
    ("POST", "-/npm/v1/security/audits", audit.quick),
    ("POST", "-/npm/v1/security/audits/quick", audit.quick),
    ("GET", "-/package/p/dist-tags", tags.list_all),
    ("PUT", "-/package/p/dist-tags", tags.put_all),
    ("POST", "-/package/p/dist-tags", tags.put_all),
    ("PUT", "-/package/p/dist-tags/next", tags.put),
    ("POST", "-/package/p/dist-tags/next", tags.put),
    ("PUT", "-/package/p/dist-tags/a%2fb", tags.put),
    ("DELETE", "-/package/p/dist-tags/a%2fb", tags.delete),
    ("PUT", "p", publish.put),
    ("PUT", "p-1.0.0.tgz", publish.put),
    ("PUT", "p/next", tags.put_legacy),
    ("PUT", "p/-rev/x", change.put),
    ("DELETE", "p/-rev/x", change.delete_package),
    ("DELETE", "p/-/p-1.0.0.tgz/-rev/x", change.delete_tarball),
    ("GET", "p/1.0.0", views.version),
    ("GET", "p/latest", views.version),
    ("PUT", "-/user/org.couchdb.user:u", accounts.login),
    ("PUT", "-/user/org.couchdb.user:u/-rev/x", accounts.login),
    ("GET", "-/user/org.couchdb.user:u", accounts.user),
    ("DELETE", "-/user/token/x", accounts.logout),
    ("GET", "-/whoami", accounts.whoami),
    ("POST", "-/v1/login", accounts.begin),
]


@pytest.mark.parametrize(("method", "path", "wanted"), CALLS, ids=[f"{each[0]} {each[1]}" for each in CALLS])
def test_calls(method: str, path: str, wanted: object) -> None:
    assert run(path, method) is wanted


def test_55_a_document_to_be_edited_is_no_page() -> None:
    assert run("p", query={"write": "true"}) is views.fresh
    assert isinstance(match("p", query={"write": "false"}), PageKey)


@pytest.mark.parametrize(
    ("name", "file", "version"),
    [
        ("p", "p-1.0.0.tgz", "1.0.0"),
        ("@s/p", "p-1.0.0.tgz", "1.0.0"),
        ("@s/p", "@s/p-1.0.0.tgz", "1.0.0"),
        ("p", "p-1.0.0-beta.1.tgz", "1.0.0-beta.1"),
        ("p", "p-1.0.0%2Bx.tgz", "1.0.0+x"),
        ("p", "p-1.0.0+x.tgz", "1.0.0+x"),
    ],
)
def test_4_old_names_of_tarballs(name: str, file: str, version: str) -> None:
    found = match(f"{name}/-/{file}")
    assert isinstance(found, FileKey)
    assert found.path == f"{name}/-/p-{version}.tgz"


@pytest.mark.parametrize("file", ["other-1.0.0.tgz", "p-1.0.0.zip", "p.tgz", "p-x.tgz", "../p-1.0.0.tgz"])
def test_a_tarball_of_another_package_is_nowhere(file: str) -> None:
    assert FORMAT.match("GET", tuple(f"p/-/{file}".split("/")), {}) is None


def test_3_the_same_tarball_name_in_two_packages_is_two_files() -> None:
    one, other = match("mdurl/-/mdurl-1.0.0.tgz"), match("@types/mdurl/-/mdurl-1.0.0.tgz")
    assert isinstance(one, FileKey) and isinstance(other, FileKey)
    assert (one.path, one.scope, one.name) == ("mdurl/-/mdurl-1.0.0.tgz", "mdurl", "mdurl")
    assert (other.path, other.scope, other.name) == ("@types/mdurl/-/mdurl-1.0.0.tgz", "@types/mdurl", "@types/mdurl")


NAMES = [
    "constructor", "prototype", "hasOwnProperty", "toString", "nul", "con", "aux", "npm", "-x", "pnpm", "ui", "api",
    "healthz", "JSONStream", "a" * 214, "@con/nul", "@types/node", "latest", "1.0.0", "tags", "x_",
]  # fmt: skip


def test_30_31_32_names_alias_nothing() -> None:
    keys = [match(name) for name in NAMES]
    for name, key in zip(NAMES, keys, strict=True):
        assert isinstance(key, PageKey), name
        assert (key.path, key.scope, key.name) == (name, name, name)
    assert all(one != other for one, other in itertools.combinations(keys, 2))


@pytest.mark.parametrize("name", ["node_modules", "favicon.ico", "_x", "__proto__", ".x", "..", "a" * 215, "@/x"])
def test_30_names_that_nothing_has(name: str) -> None:
    for path in (name, f"{name}/1.0.0", f"{name}/-/x-1.0.0.tgz"):
        for method in ("GET", "PUT", "DELETE"):
            assert FORMAT.match(method, tuple(path.split("/")), {}) is None


@pytest.mark.parametrize("path", ["-", "-/", "-/x", "-/x/y", "-/package", "-/package/-/dist-tags", "-/user", "-/v1"])
def test_32_what_is_below_a_hyphen_is_never_a_package(path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        assert match(path, method) is None


def test_old_dumps_are_refused_without_work() -> None:
    assert run("-/all") is run("-/all/since") is services._no_dump


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "p"), ("DELETE", "p"), ("PATCH", "p"), ("PUT", "p/-/p-1.0.0.tgz"), ("DELETE", "p/-"),
     ("POST", "-/v1/search"), ("GET", "-/npm/v1/security/audits"), ("PUT", ""), ("GET", "p/a/b"), ("GET", "@s")],
)  # fmt: skip
def test_nothing_is_there(method: str, path: str) -> None:
    assert match(path, method) is None


def test_attestations_are_files_of_their_version() -> None:
    found = match("-/npm/v1/attestations/@s/p@1.0.0")
    assert isinstance(found, FileKey)
    assert (found.path, found.scope, found.name) == ("-/npm/v1/attestations/@s/p@1.0.0", "@s/p", "@s/p")
    assert match("-/npm/v1/attestations/@s/p") is None
    assert match("-/npm/v1/attestations/p@latest") is None
    assert match("-/npm/v1/attestations/p@v1.0.0") == match("-/npm/v1/attestations/p@1.0.0+build")


def test_where_an_upstream_has_things() -> None:
    base = "http://registry.example/npm/"
    page, file = match("@s/p"), match("@s/p/-/p-1.0.0.tgz")
    assert isinstance(page, PageKey) and isinstance(file, FileKey)
    assert FORMAT.locate(page, base) == base + "@s%2Fp"
    assert FORMAT.locate(file, base) is None
    told = match("-/npm/v1/attestations/@s/p@1.0.0")
    assert isinstance(told, FileKey)
    assert FORMAT.locate(told, base) == base + "-/npm/v1/attestations/@s/p@1.0.0"
    assert FORMAT.question("-/v1/search?text=x", base, {}) == base + "-/v1/search?text=x"


def test_6_15_manners() -> None:
    page, tarball = match("p"), match("p/-/p-1.0.0.tgz")
    assert isinstance(page, PageKey) and isinstance(tarball, FileKey)
    manner = FORMAT.manner(page)
    assert [offer.content_type for offer in manner.offers] == [
        "application/json",
        "application/vnd.npm.install-v1+json",
    ]
    assert manner.codings and manner.absolute and not manner.immutable
    kept = FORMAT.manner(tarball)
    assert kept.immutable and kept.ranges and kept.sandbox and not kept.codings
