"""What goes in and out of the API as JSON. No secret has a place in an answer but a token just made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from reliquary.settings import GrantDeclaration, Name, Options, RuleDeclaration, Upstreams, UserName

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Password = Annotated[str, Field(max_length=1024, description="never shown again")]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class Failure(Answer):
    """What went wrong: a short word for programs, a sentence for people."""

    code: str
    message: str


class FailureAnswer(Answer):
    """Every answer with a status of 400 and more."""

    error: Failure


class Whoami(Answer):
    """Who the server takes the caller for."""

    user: str | None = Field(description="null for an anonymous caller")
    admin: bool
    token_id: int | None
    scopes: list[str] | None = Field(description="null: all that the user may")


class UpstreamShown(Answer):
    """An address behind a proxy, without its credentials."""

    url: str
    source: str = Field(description="where the address was found")
    credentials: bool = Field(description="whether it is asked with credentials")


class RuleShown(Answer):
    """A policy on package names."""

    verdict: str
    pattern: str


class RepositoryShown(Answer):
    """A repository. Upstreams, rules and options are null for callers that may not change it."""

    format: str
    name: str
    kind: str
    url: str
    anonymous_read: bool
    declared: bool = Field(description="declared in the settings, and not editable here")
    members: list[str] = Field(description="those the caller may read")
    upstream: list[UpstreamShown] | None
    rules: list[RuleShown] | None
    options: dict[str, Any] | None


class RepositoryChange(Options):
    """What changes; lists replace the lists there are, null takes an option back to its default."""

    upstream: Upstreams | None = Field(default=None, description='proxy: "none", an address, a table or a list')
    members: tuple[Name, ...] = Field(default=(), description="group: repositories of the same format, in order")
    rules: tuple[RuleDeclaration, ...] = Field(default=(), description="policy on names, the first match decides")
    anonymous_read: bool = Field(default=True, description="whether anybody may read")


class UserShown(Answer):
    """An account."""

    name: str
    admin: bool
    disabled: bool
    password: bool = Field(description="whether a password opens it")
    created: datetime
    declared: bool


class UserNew(Body):
    """An account to make."""

    name: UserName
    password: Password | None = Field(default=None, description="unset: tokens only")
    admin: bool = False


class UserChange(Body):
    """What changes of an account; everybody may change their own password."""

    password: Password | None = Field(default=None, description="null: tokens only")
    admin: bool = False
    disabled: bool = False


class GrantShown(Answer):
    """What a user may do."""

    user: str
    repositories: str
    actions: list[str]
    packages: str
    declared: bool


class GrantNew(Body):
    """What a user may do."""

    repositories: str = Field(default="*", min_length=1, max_length=512, description="glob on `format/name`")
    actions: tuple[Literal["read", "publish", "delete", "admin"], ...] = Field(min_length=1)
    packages: str = Field(
        default="*",
        min_length=1,
        max_length=512,
        description=GrantDeclaration.model_fields["packages"].description,
    )


class GrantsNew(Body):
    """All grants of a user, in place of those there were."""

    grants: tuple[GrantNew, ...] = Field(max_length=1000)


class TokenShown(Answer):
    """A token, without its text."""

    id: int
    name: str
    user: str
    begins: str
    scopes: list[str] | None
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None


class TokenMade(TokenShown):
    """A token just made: its text is shown this once."""

    token: str


class TokenNew(Body):
    """A token to make."""

    name: Line
    user: UserName | None = Field(default=None, description="whose it is; unset: the caller's")
    scopes: tuple[str, ...] | None = Field(
        default=None, max_length=100, description="each as actions:repositories:packages; unset: all the user may"
    )
    expires: AwareDatetime | None = Field(default=None, description="when it ends")
    expires_in: str | None = Field(default=None, max_length=20, description="or after which time: 12h, 90d, 6w")


class UpstreamRow(UpstreamShown):
    """An address with the proxy that asks it."""

    repository: str


class JobNew(Body):
    """Work to do behind the answer."""

    kind: Literal["gc", "verify", "refresh", "purge"]
    repository: str | None = Field(default=None, max_length=200, description="format/name; for refresh and purge")
    name: str | None = Field(default=None, max_length=512, description="one package only; for refresh and purge")
    dry_run: bool = Field(default=False, description="remove nothing, say what would go; for gc")
    repair: bool = Field(default=False, description="remove wrong bytes; for verify")


class JobShown(Answer):
    """A job: queued, running, done or failed."""

    id: int
    kind: str
    args: dict[str, Any]
    by: str | None
    state: str
    created: datetime
    started: datetime | None
    finished: datetime | None
    outcome: Any
    error: str | None


class PackageRow(Answer):
    """A package and the repositories that hold it."""

    name: str
    repositories: list[str]


class PackageList(Answer):
    """Packages by name; ``next`` goes into ``after`` for the rest."""

    packages: list[PackageRow]
    next: str | None


class Origin(Answer):
    """How a file came here."""

    url: str | None
    first_seen: datetime
    fetched_at: datetime | None
    verified_by: str | None
    publisher: str | None


class FileShown(Answer):
    """A file of a version."""

    filename: str
    path: str = Field(description="below the repository")
    repository: str = Field(description="the one that holds it")
    size: int | None
    digests: dict[str, str]
    stored: bool = Field(description="whether its bytes are here")
    listed: bool = Field(description="false for sidecars")
    published: datetime | None
    downloads: int = Field(description="how often it was downloaded here, as of half a minute ago")
    origin: Origin


class VersionShown(Answer):
    """A version and its files."""

    version: str
    files: list[FileShown]


class PackageShown(Answer):
    """A package with versions and files."""

    name: str
    repositories: list[str]
    properties: dict[str, str]
    versions: list[VersionShown]


class Yank(Body):
    """Why a version should not be chosen any more."""

    reason: str = Field(default="", max_length=1500)


class StatusNew(Body):
    """In which state a project is."""

    status: str = Field(max_length=40, description="active, deprecated, archived or quarantined")
    reason: str | None = Field(default=None, max_length=1500)
