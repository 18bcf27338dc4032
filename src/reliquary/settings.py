"""One frozen Settings, whose defaults are a running server.

Order of precedence, weakest first: defaults, the TOML file, ``RELIQUARY_*`` environment
variables, command-line flags. A key that is not known is an error, wherever it stands.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from reliquary.failpoints import VARIABLE

PREFIX = "RELIQUARY_"
CONFIG = "RELIQUARY_CONFIG"
"""Environment variable that names the settings file when no flag does."""

MIB = 1_048_576
GIB = 1024 * MIB


class WrongSettings(ValueError):
    """What the operator wrote is wrong; the text says where and how, ready to be shown."""


def _split(value: Any) -> Any:
    """Lists may be written as one comma-separated text, as environment variables need it."""
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _base_url(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be an address in ASCII without spaces (percent-encode what is not)")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.port == 0:
        raise ValueError("must have a port between 1 and 65535")
    if parts.query or parts.fragment:
        raise ValueError("must have no query and no fragment")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + "/", "", ""))


def _public_url(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError("must carry no user name and no password")
    return _base_url(value)


def _network(value: str) -> str:
    return str(ip_network(value, strict=False))


Texts: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks: TypeAlias = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], NoDecode, BeforeValidator(_split)]
Size: TypeAlias = Annotated[ByteSize, Field(ge=0)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
UserName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$")]


class Declaration(BaseModel):
    """A table of the settings file: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class UpstreamDeclaration(Declaration):
    """One address behind proxies, with the credentials it is asked with."""

    url: Annotated[str, AfterValidator(_base_url)] = Field(description="base address, http or https")
    username: str | None = Field(default=None, description="user name for Basic authentication")
    password: SecretStr | None = Field(default=None, description="its password; or `password_file`")

    @model_validator(mode="before")
    @classmethod
    def _take_credentials_out(cls, value: Any) -> Any:
        """A bare text is the address; credentials inside an address would show wherever it does."""
        table = {"url": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not isinstance(table.get("url"), str) or "@" not in table["url"]:
            return table
        parts = urlsplit(table["url"])
        userinfo, _, host = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        found = {"username": unquote(username) or None, "password": unquote(password) or None}
        return {**found, **table, "url": urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment))}


def _upstreams(value: Any) -> Any:
    """``"none"``, one address, one table, or a list of both, as a list."""
    if value == "none":
        return ()
    return [value] if isinstance(value, str | dict) else value


Upstreams: TypeAlias = Annotated[tuple[UpstreamDeclaration, ...], BeforeValidator(_upstreams)]


class RuleDeclaration(Declaration):
    """A policy on package names."""

    verdict: Literal["allow", "deny", "owned"] = Field(description="what is said of the names")
    pattern: str = Field(min_length=1, max_length=512, description="glob on the package name (`*` and `?`)")


class Options(Declaration):
    """The switches of a repository; None leaves what its kind or the server says."""

    cache_max_size: Size | None = Field(default=None, description="proxy: bytes of files kept; unset: no limit")
    offline: bool | None = Field(default=None, description="proxy: never ask the upstream, a miss is a 404")
    page_life: Annotated[int, Field(ge=0, le=600)] | None = Field(
        default=None, description="proxy: seconds a page counts as fresh, at most 600"
    )
    forbidden_is_missing: bool | None = Field(default=None, description="proxy: read the upstream's 403 as 404")
    pins: tuple[str, ...] | None = Field(default=None, description="proxy: globs of packages that are never evicted")
    overwrite: bool | None = Field(default=None, description="hosted: a publish may replace a file's bytes")
    reuse_filenames: bool | None = Field(
        default=None, description="hosted: a deleted file's name may come back with other bytes"
    )
    checks: Literal["strict", "lenient"] | None = Field(
        default=None, description="hosted: how exact an uploaded package must be"
    )
    upload_limit: Size | None = Field(default=None, description="hosted: largest upload in bytes")
    publish_to: Name | None = Field(default=None, description="group: the hosted member that takes publishes")
    partial: bool | None = Field(
        default=None, description="group: list what there is when a member is down (true), or answer 503 (false)"
    )


class RepositoryDeclaration(Options):
    """A repository that the settings file declares."""

    format: Name = Field(description="package format, the first part of its address")
    name: Name = Field(description="its name, the second part of its address")
    kind: Literal["hosted", "proxy", "group"] = Field(description="how it comes by its packages")
    upstream: Upstreams | None = Field(
        default=None, description='proxy: "none", an address, a table or a list; unset: the one of the format'
    )
    members: tuple[Name, ...] = Field(default=(), description="group: repositories of the same format, in order")
    rules: tuple[RuleDeclaration, ...] = Field(default=(), description="policy on names, the first match decides")
    anonymous_read: bool = Field(default=True, description="whether anybody may read")

    @property
    def options(self) -> dict[str, Any]:
        """The switches that were set, by name, as plain values."""
        values = {name: getattr(self, name) for name in Options.model_fields}
        return {name: value for name, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.upstream is not None and self.kind != "proxy":
            raise ValueError(f"{self.format}/{self.name} is no proxy and can have no upstream")
        if self.members and self.kind != "group":
            raise ValueError(f"{self.format}/{self.name} is no group and can have no members")
        if self.publish_to is not None and self.publish_to not in self.members:
            raise ValueError(f"{self.format}/{self.name}: publish_to must be one of its members")
        return self


class UserDeclaration(Declaration):
    """A user that the settings file declares."""

    name: UserName = Field(description="what the user logs in with")
    password: SecretStr | None = Field(default=None, description="or `password_file`; unset: tokens only")
    admin: bool = Field(default=False, description="may do everything everywhere")


class GrantDeclaration(Declaration):
    """What a user may do."""

    user: UserName = Field(description="the user's name")
    repositories: str = Field(default="*", min_length=1, max_length=512, description="glob on `format/name`")
    actions: Annotated[
        tuple[Literal["read", "publish", "delete", "admin"], ...], Field(min_length=1), BeforeValidator(_split)
    ] = Field(description="`admin` holds the other three")
    packages: str = Field(
        default="*", min_length=1, max_length=512, description="glob on package names; binds publish and delete"
    )


class Settings(BaseSettings):
    """Everything an operator can set. Sizes are bytes or texts such as ``5 GiB``, times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False)

    data: Path = Field(default=Path("var"), description="folder of the database, the blobs and the keys")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(default=1, ge=1, le=64, description="processes that answer, on one port and one data folder")
    public_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        default=None, description="address that clients see, with its path prefix; unset: as the client addressed us"
    )
    tls_cert: Path | None = Field(default=None, description="certificate chain (PEM) to serve https with")
    tls_key: Path | None = Field(default=None, description="private key of the certificate (PEM)")
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy address of the database; unset: `reliquary.db` (SQLite) in `data`"
    )
    trusted_proxies: Networks = Field(
        default=(), description="addresses or networks whose `X-Forwarded-*` headers are believed"
    )
    allowed_hosts: Texts = Field(default=(), description="values of `Host` that are answered; empty: any")
    upload_limit: Size = Field(default=ByteSize(5 * GIB), description="largest upload in bytes")
    page_life: int = Field(default=300, ge=0, le=600, description="seconds a proxied page counts as fresh")
    stale_for: Seconds = Field(default=3600, description="seconds an older page is served while it is refreshed")
    negative_life: Seconds = Field(default=30, description="seconds an upstream's 404 is remembered")
    connect_timeout: Annotated[float, Field(gt=0)] = Field(default=5, description="seconds to connect to an upstream")
    read_timeout: Annotated[float, Field(gt=0)] = Field(default=30, description="seconds an upstream may stay silent")
    minimum_rate: int = Field(default=1024, ge=0, description="bytes a second below which a download is given up")
    retries: int = Field(default=2, ge=0, le=10, description="further attempts after an upstream's failure")
    upstream_private: bool = Field(default=False, description="upstreams may resolve to private addresses")
    reserve: Size = Field(default=ByteSize(256 * MIB), description="bytes of disk kept free for publishes")
    hot_pages: Size = Field(default=ByteSize(64 * MIB), description="bytes of pages kept in memory per process")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level logged")
    log_format: Literal["console", "json"] = Field(default="console", description="form of log lines")
    metrics: bool = Field(default=True, description="whether metrics are served")
    gc_grace: Seconds = Field(default=86400, description="seconds an unreferenced blob is kept")
    offline: bool = Field(default=False, description="never ask any upstream")
    upstreams: dict[Name, Upstreams] = Field(
        default_factory=dict, description='per format: "none", an address, or a list of addresses and tables'
    )
    repositories: tuple[RepositoryDeclaration, ...] = Field(default=(), description="declared repositories")
    users: tuple[UserDeclaration, ...] = Field(default=(), description="declared users")
    grants: tuple[GrantDeclaration, ...] = Field(default=(), description="declared grants")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes: the process's own environment is read by ``load`` alone."""
        return (init_settings,)

    @field_validator("repositories")
    @classmethod
    def _repositories_once(cls, value: tuple[RepositoryDeclaration, ...]) -> tuple[RepositoryDeclaration, ...]:
        _once([f"{each.format}/{each.name}" for each in value])
        return value

    @field_validator("users")
    @classmethod
    def _users_once(cls, value: tuple[UserDeclaration, ...]) -> tuple[UserDeclaration, ...]:
        _once([each.name for each in value])
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        return self

    @property
    def database(self) -> str:
        """The database's address, password included: never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data.absolute() / 'reliquary.db'}"


def _once(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"declared twice: {', '.join(twice)}")


TABLES: Mapping[str, type[BaseModel]] = {
    "upstream": UpstreamDeclaration,
    "upstreams": UpstreamDeclaration,
    "rules": RuleDeclaration,
    "repositories": RepositoryDeclaration,
    "users": UserDeclaration,
    "grants": GrantDeclaration,
}
SECRETS = ("database_url", "password")


def load(config: Path | None, environ: Mapping[str, str], **flags: Any) -> Settings:
    """Read the settings of this start.

    Args:
        config: the TOML file; None takes ``RELIQUARY_CONFIG``, or no file.
        environ: the process environment.
        flags: what the command line says, by setting; None counts as not given.

    Raises:
        WrongSettings: naming the setting, where it stands and, for an unknown one, the nearest known name.
    """
    path = config or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    origins: list[tuple[str, dict[str, Any]]] = [
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
        ("the environment", _from_environ(environ)),
        (str(path), _from_file(path) if path else {}),
    ]
    merged: dict[str, Any] = {}
    for _, values in reversed(origins):
        merged = _merge(merged, values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise WrongSettings("\n".join(_describe(each, origins) for each in error.errors())) from None


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merge(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return {**under, **over, **both}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings(f"{path}: is not TOML: {error}") from None
    return {key: _open_secrets(value, str(path)) for key, value in _open_secrets(table, str(path), deep=False).items()}


def _open_secrets(value: Any, origin: str, *, deep: bool = True) -> Any:
    """Replace each ``<secret>_file`` by the secret in that file."""
    if isinstance(value, list):
        return [_open_secrets(item, origin) for item in value]
    if not isinstance(value, dict):
        return value
    table = {key: _open_secrets(item, origin) if deep else item for key, item in value.items()}
    for name in SECRETS:
        if f"{name}_file" in table:
            if name in table:
                raise WrongSettings(f"{origin}: {name} and {name}_file exclude each other")
            table[name] = _secret(table.pop(f"{name}_file"), f"{name}_file", origin)
    return table


def _secret(path: Any, name: str, origin: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no path to a text file"
        raise WrongSettings(f"{origin}: {name}: the file cannot be read: {reason}") from None


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    """``RELIQUARY_PORT``; tables and lists of tables as JSON; ``RELIQUARY_UPSTREAMS__<FORMAT>`` for one key."""
    names = {
        name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in (CONFIG, VARIABLE)
    }
    values: dict[str, Any] = {}
    for name, value in names.items():
        key, secret = _variable(name)
        if key in values:
            raise WrongSettings(f"the environment: {name} and {name.removesuffix('_FILE')} exclude each other")
        values[key] = _secret(value, name, "the environment") if secret else value
    source = EnvSettingsSource(Settings, env_prefix=PREFIX.lower(), env_nested_delimiter="__")
    source.env_vars = {PREFIX.lower() + key: value for key, value in values.items()}
    try:
        return {key: _open_secrets(value, "the environment") for key, value in source().items()}
    except SettingsError as error:
        raise WrongSettings(f"the environment: {error}") from None


def _variable(name: str) -> tuple[str, bool]:
    """The setting a variable stands for, and whether its value is the path of a secret."""
    key = name.removeprefix(PREFIX).lower()
    if key.removesuffix("_file") != key and key.removesuffix("_file") in SECRETS[:1]:
        return key.removesuffix("_file"), True
    if key not in Settings.model_fields and not key.startswith("upstreams__"):
        known = [PREFIX + field.upper() for field in Settings.model_fields]
        raise WrongSettings(f"the environment: {name} is no known setting{_nearest(name, known)}")
    return key, False


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _describe(error: ErrorDetails, origins: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """One line for people. The value itself stays out of it: it may be a secret."""
    where = [part for part in error["loc"] if isinstance(part, int) or part.isidentifier()]
    origin = next((name for name, values in origins if where and where[0] in values), origins[-1][0])
    origin = "settings" if origin == "None" else origin
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        return f"{origin}: {_dotted(where)}{': ' if where else ''}{message}"
    name = str(error["loc"][-1])
    model = next(_tables(where[:-1]), Settings)
    return f"{origin}: {_dotted(where)} is no known setting{_nearest(name, list(model.model_fields))}"


def _tables(where: Sequence[int | str]) -> Iterator[type[BaseModel]]:
    return (TABLES[part] for part in reversed(where) if isinstance(part, str) and part in TABLES)


def _dotted(where: Sequence[int | str]) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in where)
