"""Finding public upstreams in client configurations that the test writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pypi_simple
import pytest
from packageurl.contrib import purl2url

from reliquary.errors import SettingsError
from reliquary.types import Remote
from reliquary.upstream.discover import Found, discover, outgoing


class Machine:
    """A machine with nothing on it but what the test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.prefix = root / "venv"
        self.environ: dict[str, str] = {}
        self.printed: dict[tuple[str, ...], str] = {}

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def run(self, command: Sequence[str]) -> str | None:
        return self.printed.get(tuple(command))

    def ask(self, client: str, purl: str | None = None) -> Found:
        return discover(
            client, purl, environ=self.environ, home=self.home, run=self.run, root=self.root, prefix=self.prefix
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def urls(found: Found) -> list[str]:
    return [remote.url for remote in found.remotes]


def test_pip_variable_wins_and_credentials_are_parted(machine: Machine) -> None:
    machine.environ["PIP_INDEX_URL"] = "https://kim:p%40ss@index.example:8443/simple"
    machine.write("etc/pip.conf", "[global]\nindex-url = https://other.example/simple/\n")
    found = machine.ask("pip")
    assert found.remotes == (Remote("https://index.example:8443/simple/", "environment PIP_INDEX_URL", "kim", "p@ss"),)
    assert "p@ss" not in repr(found)


def test_pip_files_override_each_other(machine: Machine) -> None:
    order = [
        "etc/xdg/pip/pip.conf",
        "etc/pip.conf",
        "home/.pip/pip.conf",
        "home/.config/pip/pip.conf",
        "venv/pip.conf",
        "named.conf",
    ]
    machine.environ["PIP_CONFIG_FILE"] = str(machine.root / "named.conf")
    for number, path in enumerate(order):
        written = machine.write(path, f"[global]\nindex_url = https://i{number}.example/simple/\n")
        found = machine.ask("pip")
        assert urls(found) == [f"https://i{number}.example/simple/"]
        assert found.remotes[0].source == f"pip configuration {written}"
    machine.environ["PIP_CONFIG_FILE"] = "/dev/null"
    assert machine.ask("pip").remotes[0].source == "pypi-simple"


def test_pip_extras_are_remarked_not_proxied(machine: Machine) -> None:
    machine.environ["PIP_FIND_LINKS"] = "/opt/wheels"
    machine.write(
        "etc/pip.conf",
        "[global]\nindex-url = file:///srv/simple\n"
        "extra-index-url =\n  https://kim:secret@extra.example/simple?token=secret\n  https://more.example/\n",
    )
    machine.environ["UV_DEFAULT_INDEX"] = "corp=https://uv.example/simple"
    found = machine.ask("pip")
    assert found.remotes == (Remote("https://uv.example/simple/", "environment UV_DEFAULT_INDEX"),)
    notes = "\n".join(found.notes)
    for text in ("/opt/wheels", "https://extra.example/simple", "https://more.example/", "file:///srv/simple"):
        assert text in notes
    assert "secret" not in notes


def test_pip_install_section_and_broken_files(machine: Machine) -> None:
    machine.write("venv/pip.conf", "index-url = no section\n")
    machine.write(
        "etc/pip.conf",
        "[global]\nindex-url = https://a.example/\nno-index = true\n[install]\nindex-url = https://b.example/\n",
    )
    found = machine.ask("pip")
    assert urls(found) == ["https://b.example/"]
    assert any("is no pip configuration" in note for note in found.notes)
    assert any("says no-index" in note for note in found.notes)


def test_pip_without_configuration(machine: Machine) -> None:
    found = machine.ask("pip")
    assert found.remotes == (Remote(pypi_simple.PYPI_SIMPLE_ENDPOINT, "pypi-simple"),)
    assert found.notes == ()


def test_npm(machine: Machine) -> None:
    machine.environ["HOST"] = "npm.example"
    path = machine.write(
        "home/.npmrc",
        "; registry=https://no.example/\nregistry = https://${HOST}/root\n@corp:registry=https://corp.example/\n"
        "//npm.example/root/:username=kim\n//npm.example/root/:_password=c2VjcmV0\n",
    )
    machine.write("etc/npmrc", "registry=https://etc.example/\n")
    found = machine.ask("npm", "pkg:npm/six")
    assert found.remotes == (Remote("https://npm.example/root/", f"npm configuration {path}", "kim", "secret"),)
    assert any("@corp" in note for note in found.notes)
    machine.environ["npm_config_registry"] = "https://env.example"
    assert urls(machine.ask("npm")) == ["https://env.example/"]


def test_npm_tokens_are_remarked(machine: Machine) -> None:
    machine.write("home/.npmrc", "registry=https://npm.example/\n//npm.example/:_authToken=secret\n")
    found = machine.ask("npm")
    assert found.remotes[0].password is None
    assert any("token" in note for note in found.notes) and "secret" not in "".join(found.notes)


def test_go(machine: Machine) -> None:
    machine.environ["GOPROXY"] = "https://a.example|https://b.example/x,file:///mod,direct"
    found = machine.ask("go")
    assert urls(found) == ["https://a.example/", "https://b.example/x/"]
    assert any("file:///mod" in note for note in found.notes)
    del machine.environ["GOPROXY"]
    machine.printed[("go", "env", "GOPROXY")] = "https://c.example,off\n"
    assert machine.ask("go").remotes == (Remote("https://c.example/", "go env GOPROXY"),)


def test_cargo_follows_replacements(machine: Machine) -> None:
    text = (
        '[source.crates-io]\nreplace-with = "near"\n[source.near]\nreplace-with = "far"\n'
        '[source.far]\nregistry = "sparse+https://cargo.example/index/"\n'
    )
    path = machine.write("home/.cargo/config.toml", text)
    assert machine.ask("cargo").remotes == (Remote("https://cargo.example/index/", f"cargo configuration {path}"),)
    machine.write("home/.cargo/config.toml", text.replace("sparse+", ""))
    found = machine.ask("cargo")
    assert found.remotes == () and "no sparse index" in found.notes[0]
    machine.write("home/.cargo/config.toml", text.replace('"far"', '"crates-io"'))
    assert machine.ask("cargo").remotes == ()


def test_apt(machine: Machine) -> None:
    machine.write(
        "etc/apt/sources.list",
        "# deb http://no.example/ x y\ndeb [arch=amd64 signed-by=/k] http://one.example/debian stable main\n"
        "deb-src http://src.example/ stable main\ndeb cdrom:[x]/ stable main\n",
    )
    machine.write(
        "etc/apt/sources.list.d/more.sources",
        "Types: deb deb-src\nURIs: http://two.example/debian\n  http://one.example/debian/\nSuites: stable\n\n"
        "# a remark\nEnabled: no\nTypes: deb\nURIs: http://off.example/\n\nTypes: deb-src\nURIs: http://src.example/\n",
    )
    machine.write("etc/apt/sources.list.d/old.list.save", "deb http://no.example/ x y\n")
    assert urls(machine.ask("apt")) == ["http://one.example/debian/", "http://two.example/debian/"]


@pytest.mark.parametrize(
    ("client", "purl"), [("npm", "pkg:npm/six"), ("go", "pkg:golang/example.com/m"), ("apt", "pkg:deb/debian/six")]
)
def test_libraries_know_the_rest(machine: Machine, client: str, purl: str) -> None:
    found = machine.ask(client, purl)
    assert [remote.source for remote in found.remotes] == ["packageurl-python"]
    known = purl2url.get_download_url(f"{purl}@1.0.0")  # type: ignore[no-untyped-call]
    assert known.startswith(found.remotes[0].url)


def test_cargo_index_host(machine: Machine) -> None:
    web = urlsplit(purl2url.get_repo_url("pkg:cargo/six"))  # type: ignore[no-untyped-call]
    assert urls(machine.ask("cargo", "pkg:cargo/six")) == [f"https://index.{web.netloc}/"]


@pytest.mark.parametrize(("client", "purl"), [("unheard-of", None), ("npm", None), ("npm", "pkg:nothing/six")])
def test_nothing_is_found(machine: Machine, client: str, purl: str | None) -> None:
    found = machine.ask(client, purl)
    assert found.remotes == () and found.notes == (f"no public upstream of {client} is known here",)


def test_outgoing() -> None:
    found = outgoing(
        {
            "https_proxy": "http://kim:secret@proxy.example:3128",
            "HTTP_PROXY": "proxy.example:8080",
            "NO_PROXY": "a.example, .b.example 10.0.0.0/8",
            "SSL_CERT_DIR": "/certs",
            "REQUESTS_CA_BUNDLE": "/bundle.pem",
        }
    )
    assert found.proxies == {
        "http": "http://proxy.example:8080",
        "https": "http://kim:secret@proxy.example:3128",
    }
    assert found.no_proxy == ("a.example", ".b.example", "10.0.0.0/8")
    assert found.ca == Path("/bundle.pem")
    assert "secret" not in repr(found)
    assert outgoing({}).proxies == {}


def test_socks_proxies_are_a_clear_error() -> None:
    with pytest.raises(SettingsError) as problem:
        outgoing({"ALL_PROXY": "socks5://kim:secret@proxy.example"})
    assert "secret" not in str(problem.value)
