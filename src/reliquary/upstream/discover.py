"""Where the public upstream of a client lies: its own configuration on this machine, then what libraries know.

Asked once, on first start; the answer is stored. Nothing here dials anything.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from reliquary.errors import SettingsError
from reliquary.types import Remote
from reliquary.upstream.policy import Outgoing

Run: TypeAlias = Callable[[Sequence[str]], str | None]
"""Runs a command and returns what it prints, or None when it is not there or fails."""


@dataclass(frozen=True, slots=True)
class Found:
    """Upstreams in the order they are asked, and remarks for the operator (without credentials)."""

    remotes: tuple[Remote, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Search:
    """One search under way: where to look, and what was found.

    ``root`` is the file system's root and ``prefix`` the Python environment's, so that a test can have its own.
    """

    environ: Mapping[str, str]
    home: Path
    run: Run
    root: Path
    prefix: Path
    remotes: list[Remote] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def offer(self, url: str, source: str, user: str | None = None, password: str | None = None) -> bool:
        """Take an address if it can be proxied, else remark on it; whether it was taken."""
        remote = remote_of(url, source, user, password)
        if remote is None:
            self.remark(f"{source} names {shown(url)}, which cannot be proxied")
            return False
        if remote.url not in [known.url for known in self.remotes]:
            self.remotes.append(remote)
        return True

    def remark(self, text: str) -> None:
        """Tell the operator."""
        if text not in self.notes:
            self.notes.append(text)

    def read(self, path: Path) -> str | None:
        """A configuration file's text, or None when there is none to read."""
        try:
            return path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError:
            self.remark(f"{path} cannot be read")
            return None


def discover(
    client: str,
    purl: str | None = None,
    *,
    environ: Mapping[str, str],
    home: Path,
    run: Run,
    root: Path = Path("/"),
    prefix: Path | None = None,
) -> Found:
    """Find the public upstream of a package client.

    Args:
        client: ``pip``, ``npm``, ``go``, ``cargo`` or ``apt``.
        purl: a package URL of a sample package, for what packageurl-python knows.
        environ: environment variables.
        home: the user's home folder.
        run: runs a client when its configuration can only be had from itself.
        root: where ``etc`` is.
        prefix: the Python environment's folder; this one's when None.

    Returns:
        What was found; no remotes when nothing was.
    """
    search = Search(environ, home, run, root, prefix or Path(sys.prefix))
    if client in CONFIGURATIONS:
        CONFIGURATIONS[client](search)
    if not search.remotes:
        known(search, client, purl)
    if not search.remotes:
        search.remark(f"no public upstream of {client} is known here")
    return Found(tuple(search.remotes), tuple(search.notes))


# --- addresses ---


def remote_of(url: str, source: str, user: str | None = None, password: str | None = None) -> Remote | None:
    """An http or https address as a Remote: a final slash, credentials apart; None for anything else."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    clean = urlunsplit((parts.scheme.lower(), host if port is None else f"{host}:{port}", path, "", ""))
    name = user if parts.username is None else unquote(parts.username)
    word = password if parts.password is None else unquote(parts.password)
    return Remote(clean, source, name or None, word or None)


def shown(url: str) -> str:
    """An address without credentials and query, for people."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0].partition("#")[0])[:200]


# --- pip and uv ---


def pip(search: Search) -> None:
    """pip's index: its variable, then its files in the order in which one overrides the other, then uv's."""
    env = search.environ
    candidates = [(env.get("PIP_INDEX_URL", ""), "environment PIP_INDEX_URL")]
    for path in pip_files(search):
        source = f"pip configuration {path}"
        options = pip_options(search, path)
        candidates += [(url, source) for url in options.get("index-url", "").split()[:1]]
        remark_extras(search, options, source)
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        candidates.append((re.sub(r"^[\w-]+=", "", env.get(name, "")), f"environment {name}"))
    extras = {name[4:].lower().replace("_", "-"): value for name, value in env.items() if name.startswith("PIP_")}
    remark_extras(search, extras, "the environment")
    remark_extras(search, {"extra-index-url": env.get("UV_INDEX") or env.get("UV_EXTRA_INDEX_URL", "")}, "uv")
    for url, source in candidates:
        if url and search.offer(url, source):
            return


def pip_files(search: Search) -> Iterator[Path]:
    """pip's configuration files, the strongest first."""
    env, home, etc = search.environ, search.home, search.root / "etc"
    named = env.get("PIP_CONFIG_FILE")
    if named == "/dev/null":  # pip's way to say: no files at all
        return
    if named:
        yield Path(named)
    yield search.prefix / "pip.conf"
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield home / ".pip" / "pip.conf"
    yield etc / "pip.conf"
    for folder in (env.get("XDG_CONFIG_DIRS") or str(etc / "xdg")).split(":"):
        yield Path(folder) / "pip" / "pip.conf"


def pip_options(search: Search, path: Path) -> dict[str, str]:
    """The options of ``[global]``, with those of ``[install]`` over them."""
    text = search.read(path)
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text or "")
    except configparser.Error:
        search.remark(f"{path} is no pip configuration")
        return {}
    sections = [dict(parser.items(name)) for name in ("global", "install") if parser.has_section(name)]
    return {name.replace("_", "-"): value for section in sections for name, value in section.items()}


def remark_extras(search: Search, options: Mapping[str, str], source: str) -> None:
    """What pip has besides its index is shown, not proxied: it would let names from two places mix."""
    for option in ("extra-index-url", "find-links"):
        for url in options.get(option, "").split():
            search.remark(f"{source} names {shown(url)} as {option}, which is not proxied")
    if options.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        search.remark(f"{source} says no-index")


# --- npm ---


def npm(search: Search) -> None:
    """npm's registry: its variable, then the user's and the machine's npmrc."""
    env = {name.lower(): value for name, value in search.environ.items() if name.lower().startswith("npm_config_")}
    if url := env.get("npm_config_registry"):
        search.offer(url, "environment npm_config_registry")
    user = Path(env.get("npm_config_userconfig") or search.home / ".npmrc")
    machine = [search.root / folder / "etc" / "npmrc" for folder in ("usr", "usr/local", "")]
    named = env.get("npm_config_globalconfig")
    for path in [user, *([Path(named)] if named else []), *machine]:
        options = npm_options(search, path)
        for name, value in options.items():
            if name.endswith(":registry"):
                search.remark(f"npm configuration {path} sends {name.partition(':')[0]} to {shown(value)}: not proxied")
        if "registry" in options and not search.remotes:
            url = options["registry"]
            search.offer(url, f"npm configuration {path}", *npm_credentials(search, options, url, path))


def npm_options(search: Search, path: Path) -> dict[str, str]:
    """The lines of an npmrc, ``${NAME}`` filled in from the environment."""
    options = {}
    for line in (search.read(path) or "").splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            filled = re.sub(r"\$\{(\w+)\}", lambda found: search.environ.get(found[1], found[0]), value.strip())
            options[name.strip()] = filled.strip("\"'")
    return options


def npm_credentials(search: Search, options: Mapping[str, str], url: str, path: Path) -> tuple[str | None, str | None]:
    """User and password that an npmrc has for a registry."""
    below = shown(url).partition(":")[2].rstrip("/")
    own = {name.rpartition(":")[2]: value for name, value in options.items() if name.startswith(f"{below}/:")}
    try:
        if "_auth" in own:
            user, _, password = base64.b64decode(own["_auth"]).decode().partition(":")
            return user, password
        if "username" in own and "_password" in own:
            return own["username"], base64.b64decode(own["_password"]).decode()
    except (binascii.Error, UnicodeDecodeError):
        search.remark(f"the credentials in {path} cannot be read")
    if "_authToken" in own:
        search.remark(f"{path} has a token for {shown(url)}, which is not used: name credentials in the settings")
    return None, None


# --- go ---


def go(search: Search) -> None:
    """Go's module proxies, in order; ``direct`` and ``off`` are no proxies."""
    source, value = "environment GOPROXY", search.environ.get("GOPROXY")
    if not value:
        source, value = "go env GOPROXY", (search.run(["go", "env", "GOPROXY"]) or "").strip()
    for url in re.split(r"[,|]", value):
        if url.strip() and url.strip() not in ("direct", "off"):
            search.offer(url, source)


# --- cargo ---


def cargo(search: Search) -> None:
    """The sparse index that replaces cargo's default source, if one does."""
    folder = Path(search.environ.get("CARGO_HOME") or search.home / ".cargo")
    for path in (folder / "config", folder / "config.toml"):
        text = search.read(path)
        if text is None:
            continue
        try:
            sources = tomllib.loads(text).get("source", {})
        except tomllib.TOMLDecodeError:
            search.remark(f"{path} is no cargo configuration")
            continue
        if isinstance(sources, dict):
            replacement(search, sources, f"cargo configuration {path}")
        return


def replacement(search: Search, sources: Mapping[str, object], source: str) -> None:
    """Follow ``replace-with`` from the default source."""
    name, seen = "crates-io", set[str]()
    while name not in seen:
        seen.add(name)
        table = sources.get(name)
        if not isinstance(table, dict):
            return
        if isinstance(table.get("replace-with"), str):
            name = table["replace-with"]
            continue
        for kind in ("registry", "local-registry", "directory", "git"):
            if isinstance(table.get(kind), str):
                url = table[kind]
                if kind == "registry" and url.startswith("sparse+"):
                    search.offer(url.removeprefix("sparse+"), source)
                else:
                    search.remark(f"{source} names {shown(url)}, which is no sparse index and cannot be proxied")
        return


# --- apt ---


def apt(search: Search) -> None:
    """The archives in apt's sources, each once."""
    folder = search.root / "etc" / "apt"
    parts = sorted((folder / "sources.list.d").glob("*")) if (folder / "sources.list.d").is_dir() else []
    for path in [folder / "sources.list", *parts]:
        if path.suffix not in (".list", ".sources"):
            continue
        text = search.read(path) or ""
        urls = apt_lines(text) if path.suffix == ".list" else apt_stanzas(text)
        for url in urls:
            search.offer(url, f"apt sources {path}")


def apt_lines(text: str) -> Iterator[str]:
    """The addresses of ``deb`` lines (sources.list(5), one-line style)."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)", line)
        if found:
            yield found[1]


def apt_stanzas(text: str) -> Iterable[str]:
    """The addresses of enabled binary stanzas (sources.list(5), deb822 style)."""
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", plain):
        fields = re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        values = {name.lower(): value.split() for name, value in fields}
        if "deb" in values.get("types", []) and values.get("enabled", ["yes"])[:1] not in (["no"], ["false"]):
            yield from values.get("uris", [])


CONFIGURATIONS: Mapping[str, Callable[[Search], None]] = {"pip": pip, "npm": npm, "go": go, "cargo": cargo, "apt": apt}


# --- what libraries know ---


def known(search: Search, client: str, purl: str | None) -> None:
    """The address that a library holds for the client's public registry."""
    if client == "pip":
        import pypi_simple  # slow to import, and asked once in the life of a data folder

        search.offer(pypi_simple.PYPI_SIMPLE_ENDPOINT, "pypi-simple")
    elif purl is not None:
        url = by_purl(client, purl)
        if url is not None:
            search.offer(url, "packageurl-python")


def by_purl(client: str, purl: str) -> str | None:
    """A registry's root from where it has one package. cargo's web host is known; its sparse index lies on
    the host ``index.`` before that one."""
    from packageurl.contrib import purl2url

    if client == "cargo":
        parts = urlsplit(purl2url.get_repo_url(purl) or "")  # type: ignore[no-untyped-call]
        return f"{parts.scheme}://index.{parts.netloc}/" if parts.netloc else None
    bare, mark, qualifiers = purl.partition("?")
    versioned = bare if "@" in bare.rpartition("/")[2] else f"{bare}@1.0.0"
    try:
        url = purl2url.get_download_url(versioned + mark + qualifiers)  # type: ignore[no-untyped-call]
    except (ValueError, NotImplementedError):
        return None
    parts = urlsplit(url or "")
    folder = parts.path.partition("/pool/")[0] if "/pool/" in parts.path else ""
    return f"{parts.scheme}://{parts.netloc}{folder}/" if parts.netloc else None


# --- how this machine reaches the network ---


def outgoing(environ: Mapping[str, str]) -> Outgoing:
    """Outgoing proxies and certificate authorities, from the usual variables.

    Raises:
        SettingsError: a proxy is of a kind that is not supported (SOCKS); the message holds no credentials.
    """
    proxies = {}
    for scheme in ("http", "https"):
        url = variable(environ, f"{scheme}_proxy") or variable(environ, "all_proxy")
        if url:
            proxies[scheme] = checked_proxy(url, scheme)
    excepted = re.split(r"[\s,]+", variable(environ, "no_proxy") or "")
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
    ca = next((environ[name] for name in names if environ.get(name)), None)
    return Outgoing(proxies, tuple(entry for entry in excepted if entry), Path(ca) if ca else None)


def variable(environ: Mapping[str, str], name: str) -> str | None:
    """A variable in lower case, else in upper case."""
    return environ.get(name) or environ.get(name.upper())


def checked_proxy(url: str, scheme: str) -> str:
    """A proxy's address, http where it names no scheme."""
    full = url if "://" in url else f"http://{url}"
    if remote_of(full, "environment") is None:
        raise SettingsError(f"the outgoing proxy for {scheme} must be an http:// or https:// address")
    return full
