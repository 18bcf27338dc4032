"""``me``, the page that ``cargo login`` names: a person makes a token there, and reads how to give it to cargo.

The browser's own credentials count for nothing here, and the token is in the answer to the form alone: never in
an address, never kept.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qs, urlsplit

from reliquary.errors import Forbidden, Malformed, NotHere, Refused, Unauthenticated, UnknownCoding
from reliquary.formats.verbs import Incoming, Reply, Shelf
from reliquary.types import Headers

LARGEST = 8192
"""Bytes of the form."""
FORM = "application/x-www-form-urlencoded"
TITLE = "cargo's login page"
"""What a token made here is called."""
REGISTRY = "reliquary"
"""What the registry is called in the lines that are shown."""

_FOREIGN = "this form was not sent by the page it belongs to; open the page that cargo login names once more"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}"
    "label,input{display:block}input{font:inherit;width:100%;max-width:24rem;margin-bottom:1rem;padding:.4rem;"
    "box-sizing:border-box}button{font:inherit;padding:.4rem 1.2rem}"
    "pre{background:#8882;padding:.8rem;overflow-x:auto}.wrong{border-left:4px solid #b00;padding-left:.8rem}"
)
_HEADERS: Headers = (
    ("cache-control", "no-store"),
    (
        "content-security-policy",
        f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # With no-referrer browsers would call the origin of the form "null".
    ("referrer-policy", "same-origin"),
)


async def me(incoming: Incoming, shelf: Shelf) -> Reply:
    """GET ``me``: how a token is made, with a form that makes one."""
    return _page("Log in with cargo", _asking(incoming))


async def take(incoming: Incoming, shelf: Shelf) -> Reply:
    """POST ``me`` with ``user`` and ``password``: a new token, shown this once. What is wrong is said on the page."""
    try:
        _check_origin(incoming)
        fields = await _fields(incoming)
    except Refused as error:
        more: Headers = (("connection", "close"),) if error.status in (413, 415) else ()
        return _page("This login cannot go on", f"<p>{_sentence(error.message)}</p>", error.status, more)
    user = fields.get("user", "")
    try:
        if not user or not fields.get("password"):
            raise Malformed("give both your name and your password")
        token = await incoming.accounts.login(user, fields["password"], TITLE)
    except (Unauthenticated, Forbidden, Malformed) as error:
        # 401 would need a challenge, and browsers would ask for the password in a window of their own.
        status = 403 if error.status == 401 else error.status
        return _page("Log in with cargo", _asking(incoming, user[:128], error.message), status)
    return _page("Your token", _given(incoming, token))


async def exchange(incoming: Incoming, shelf: Shelf) -> Reply:
    """PUT and DELETE ``api/v1/trusted_publishing/tokens``: no identity tokens are trusted. Raises NotHere."""
    raise NotHere(
        "trusted publishing is not offered here: this server takes no identity tokens of CI systems yet. Make a token "
        f"at {incoming.base_url}me and give it to cargo as CARGO_REGISTRIES_{REGISTRY.upper()}_TOKEN"
    )


def _check_origin(incoming: Incoming) -> None:
    """Raises Forbidden for a form of another site, by what browsers say of it (Fetch Metadata; over plain HTTP they
    send Origin alone)."""
    site, origin = incoming.headers.get("sec-fetch-site"), incoming.headers.get("origin")
    if site is not None:
        foreign = site != "same-origin"
    else:
        ours = (_place(incoming.base_url), incoming.headers.get("host", "").lower())
        foreign = origin is not None and _place(origin) not in ours
    if foreign:
        raise Forbidden(_FOREIGN)


def _place(url: str) -> str | None:
    """Host and port of an address; None where it has none."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None


async def _fields(incoming: Incoming) -> Mapping[str, str]:
    """The fields of the form. Raises Malformed, TooLarge, UnknownCoding."""
    if incoming.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnknownCoding("the page's form sends another kind of body; open the page in a browser")
    try:
        fields = parse_qs((await incoming.body(LARGEST)).decode("ascii"), max_num_fields=20, errors="strict")
    except ValueError:
        raise Malformed("the form cannot be read; open the page in a browser") from None
    return {name: values[-1] for name, values in fields.items()}


def _asking(incoming: Incoming, user: str = "", wrong: str = "") -> str:
    told = f'<p class="wrong" role="alert">{_sentence(wrong)}</p>' if wrong else ""
    return f"""\
<p>cargo shows a token to {escape(incoming.base_url)} when it publishes, and on every request where a login is needed
to read. A token made here acts for you, with all the rights you have. It is shown once.</p>
{told}<form method="post">
<label for="user">User name</label>
<input id="user" name="user" value="{escape(user)}" autocomplete="username" autocapitalize="none" \
spellcheck="false" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Make a token</button>
</form>
<p>No password? The administrator makes a token for you: <code>reliquary token create</code>. A token you have already
serves as well.</p>
{_lines(incoming)}"""


def _given(incoming: Incoming, token: str) -> str:
    return f"""\
<p role="status">This is your new token. It is not shown again: give it to cargo now.</p>
<pre>{escape(token)}</pre>
{_lines(incoming)}"""


def _lines(incoming: Incoming) -> str:
    """What to write where, and what to type."""
    return f"""\
<p>The registry, in <code>.cargo/config.toml</code> of your project or your home folder:</p>
<pre>[registries.{REGISTRY}]
index = &quot;sparse+{escape(incoming.base_url)}&quot;

[registry]
global-credential-providers = [&quot;cargo:token&quot;]</pre>
<p>Then give cargo the token; it asks for it:</p>
<pre>cargo login --registry {REGISTRY}</pre>
"""


def _page(heading: str, content: str, status: int = 200, more: Headers = ()) -> Reply:
    page = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(heading)} - Reliquary</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(heading)}</h1>
{content}
</body>
</html>
"""
    return Reply(status, page.encode("utf-8", "replace"), "text/html; charset=utf-8", (*_HEADERS, *more))


def _sentence(text: str) -> str:
    return escape(f"{text[:1].upper()}{text[1:]}.")
