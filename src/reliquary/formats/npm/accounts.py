"""Login, tokens and profile as npm's clients ask for them.

None of it is about packages: every call here is open (`reliquary.formats.base.Call.open`), and asks
`Incoming.accounts` for what it needs to know of the asker.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from reliquary.errors import Malformed, WrongMethod
from reliquary.formats.verbs import Incoming, Reply, Shelf, TokenFacts

LARGEST = 65_536
"""Bytes of a body here."""
USER = "org.couchdb.user:"
DONE = "-/v1/done/"
"""Where clients ask for the token of a login, below the repository."""
POLL = "2"
"""Seconds between two of their questions."""
PAGE, MOST = 25, 250
"""Tokens on one page of their list: usually, and at most."""
TITLE = 100
YEARS = 36_500
"""The longest life of a token, in days."""

LIMITS = ("packages", "scopes", "orgs", "cidr_whitelist")
"""What would make a token narrower; it must not be left out in silence."""
PERMISSIONS = ("packages_and_scopes_permission", "orgs_permission")


async def login(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT ``-/user/org.couchdb.user:{name}``, with or without ``/-rev/{rev}``: a token for a name and
    a password; 201. Raises Malformed, Unauthenticated."""
    name = _user(incoming)
    body = await _body(incoming)
    if body.get("name", name) != name or body.get("_id", USER + name) != USER + name:
        raise Malformed("the body names another user than the address; send the same name in both")
    password = body.get("password")
    if not isinstance(password, str) or not password:
        raise Malformed("the login holds no password; send name and password")
    token = await incoming.accounts.login(name, password, _client(incoming))
    return _json({"ok": True, "id": USER + name, "rev": "1", "token": token}, 201)


async def user(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``-/user/org.couchdb.user:{name}``: that there is such a user. Raises Unauthenticated, NotHere."""
    found = await incoming.accounts.user(_user(incoming))
    return _json({"_id": USER + found.name, "_rev": "1", "name": found.name, "email": "", "type": "user", "roles": []})


async def whoami(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``-/whoami``: the asker's name. Raises Unauthenticated."""
    return _json({"username": incoming.accounts.known()})


async def logout(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``-/user/token/{token}``: end one's own token. Raises Unauthenticated, NotHere."""
    incoming.accounts.known()
    await incoming.accounts.revoke(_parts(incoming)[-1])
    return _json({"ok": True})


async def profile(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``-/npm/v1/user``: what is known of the asker. Raises Unauthenticated."""
    found = await incoming.accounts.user(incoming.accounts.known())
    made = _time(found.created)
    shown: dict[str, Any] = {"name": found.name, "email": "", "email_verified": False, "tfa": False}
    return _json({**shown, "cidr_whitelist": None, "created": made, "updated": made})


async def set_profile(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``-/npm/v1/user``: refused in words. Raises Unauthenticated, Malformed."""
    incoming.accounts.known()
    if "password" in await _body(incoming):
        raise Malformed(
            "passwords are not changed here; change yours by PATCH /api/v1/users/{you}, or ask the administrator"
        )
    raise Malformed("there is nothing in a profile that could be set: a user here is a name and a password")


async def tokens(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``-/npm/v1/tokens?page&perPage``: the asker's tokens, newest first. Raises Unauthenticated,
    Malformed."""
    incoming.accounts.known()
    page = _number(incoming, "page", 0)
    size = max(1, min(_number(incoming, "perPage", PAGE), MOST))
    every = await incoming.accounts.tokens()
    urls = {}
    if len(every) > (page + 1) * size:
        urls["next"] = f"{incoming.base_url}-/npm/v1/tokens?page={page + 1}&perPage={size}"
    objects = [_shown(each, each.prefix) for each in every[page * size : (page + 1) * size]]
    return _json({"objects": objects, "total": len(every), "urls": urls})


async def create_token(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``-/npm/v1/tokens``: a further token, told whole this once; 201. Raises Unauthenticated,
    Forbidden, Malformed."""
    incoming.accounts.known()
    body = await _body(incoming)
    password = body.get("password")
    if not isinstance(password, str):
        raise Malformed("send your password with it: a token alone makes no further ones here")
    readonly = _readonly(body)
    said = str(body.get("name") or body.get("description") or "npm token")
    title = "".join(sign for sign in said[:TITLE] if sign.isprintable())
    secret, facts = await incoming.accounts.create(password, title, readonly=readonly, days=_days(body))
    return _json(_shown(facts, secret), 201)


async def revoke_token(incoming: Incoming, shelf: Shelf) -> Reply:
    """DELETE ``-/npm/v1/tokens/token/{key}``, by key, by token, or by what one begins with; 204.
    Raises Unauthenticated, Forbidden, NotHere, Conflict."""
    incoming.accounts.known()
    await incoming.accounts.revoke(_parts(incoming)[-1])
    return Reply(204)


async def begin(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``-/v1/login``: where a person logs in, and where the client then finds its token.
    Raises Malformed, Conflict; clients ask for the password after either."""
    body = await _body(incoming)
    host = body.get("hostname")
    title = _client(incoming) + (f" on {host}" if isinstance(host, str) and host else "")
    begun = await incoming.accounts.begin_web_login(title)
    return _json({"loginUrl": begun.url, "doneUrl": f"{incoming.base_url}{DONE}{begun.secret}"})


async def done(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``-/v1/done/{secret}``: 202 while the person has not logged in, then the token, once.
    Raises NotHere."""
    if incoming.method != "GET":  # a HEAD would take the token and tell nobody
        raise WrongMethod("ask for the token by GET", allow=("GET",))
    token = await incoming.accounts.web_login(_parts(incoming)[-1])
    if token is None:
        return _json({}, 202, ("retry-after", POLL))
    return _json({"token": token})


def _parts(incoming: Incoming) -> list[str]:
    """The path cut where `paths.match` cuts it: clients may escape any of its slashes."""
    return "/".join(incoming.segments).removesuffix("/").split("/")


def _user(incoming: Incoming) -> str:
    """The name in ``-/user/org.couchdb.user:{name}``. Raises Malformed."""
    name = _parts(incoming)[2].removeprefix(USER)
    if not name or len(name) > 128:
        raise Malformed("the address holds no user name, or a very long one")
    return name


async def _body(incoming: Incoming) -> Mapping[str, Any]:
    content = await incoming.body(LARGEST)
    try:
        body = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        raise Malformed("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object")
    return body


def _client(incoming: Incoming) -> str:
    """What the client calls itself, as ``npm/11.2.0``."""
    name = incoming.headers.get("user-agent", "").partition(" ")[0]
    return name[:40] if name.isascii() and name.isprintable() and name else "npm"


def _readonly(body: Mapping[str, Any]) -> bool:
    """Whether the token is to open reads alone. Raises Malformed for limits that cannot be kept."""
    limits = [name for name in LIMITS if body.get(name)]
    wanted = {body[name] for name in PERMISSIONS if isinstance(body.get(name), str)}
    if limits or not wanted <= {"read-only", "read-write"}:
        what = ", ".join(limits) or "no-access"
        raise Malformed(
            f"a token cannot be limited by {what} in this way; the administrator makes narrow ones with "
            "reliquary token create --scope"
        )
    return bool(body.get("readonly")) or "read-only" in wanted


def _days(body: Mapping[str, Any]) -> int | None:
    days = body.get("expires")
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= YEARS:
        raise Malformed("expires is a number of days, at least 1")
    return days


def _number(incoming: Incoming, name: str, usual: int) -> int:
    text = incoming.query.get(name, "")
    if not text:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Malformed(f"{name} is not a number")
    return int(text)


def _shown(facts: TokenFacts, token: str) -> dict[str, Any]:
    """A token in the shape that lists have."""
    return {
        "token": token,
        "key": facts.key,
        "name": facts.title,
        "cidr_whitelist": None,
        "readonly": facts.readonly,
        "created": _time(facts.created),
        "updated": _time(facts.created),
        "accessed": _time(facts.last_used) if facts.last_used else None,
        "expires": _time(facts.expires) if facts.expires else None,
    }


def _time(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as JavaScript writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Mapping[str, Any], status: int = 200, *headers: tuple[str, str]) -> Reply:
    return Reply(status, orjson.dumps(value), "application/json", headers)
