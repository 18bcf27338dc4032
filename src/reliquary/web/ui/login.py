"""The page on which a person ends a login that a client began: ``/login/{page}``.

The browser's own credentials count for nothing here, so a foreign page gains nothing by posting this
form; it is refused all the same.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reliquary.access.logins import Logins, code, form_token
from reliquary.catalog.logins import LoginRow
from reliquary.errors import Forbidden, Malformed, ReliquaryError, Unauthenticated, UnknownCoding
from reliquary.web import identity
from reliquary.web.accounts import WRONG
from reliquary.web.incoming import WebIncoming
from reliquary.web.state import State

LARGEST = 8192
"""Bytes of a form."""
FORM = "application/x-www-form-urlencoded"
FOREIGN = "this form was not sent by the page it belongs to; open the address from your terminal once more"
DONE = "You are logged in. Go back to your terminal: it goes on by itself, and this page can be closed."


class LoginPage:
    """``GET`` and ``POST /login/{page}``."""

    def __init__(self, state: State) -> None:
        self._state = state
        templates = Environment(loader=PackageLoader("reliquary.web.ui", "templates"), autoescape=True)
        self._template = templates.get_template("login.html")
        # Of our own package, so there is nothing to escape.
        self._style = Markup(templates.get_template("style.css").render())  # noqa: S704
        digest = b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            "cache-control": "no-store",
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            # With no-referrer browsers would call the origin of the form "null".
            "referrer-policy": "same-origin",
        }

    async def answer(self, request: Request) -> Response:
        """Show the form, or take it."""
        page = str(request.path_params["page"])
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            host = identity.check_host(request.scope, headers, self._state.trust)
            login = await self._logins().pending(page)
            if request.method != "POST":
                return self._form(page, login)
            self._check_origin(headers, host)
            return await self._take(page, login, await _fields(request, headers))
        except ReliquaryError as error:
            more = {"connection": "close"} if error.status in (413, 415) else {}
            return self._page(error.status, more, heading="This login cannot go on", words=_sentence(error.message))

    async def _take(self, page: str, login: LoginRow, fields: Mapping[str, str]) -> Response:
        if not hmac.compare_digest(fields.get("form", "").encode(), form_token(login).encode()):
            raise Forbidden(FOREIGN)
        name = fields.get("name", "")
        try:
            actor = await self._state.access.login(name, fields.get("password", ""))
        except Unauthenticated:
            return self._form(page, login, name, _sentence(WRONG))
        await self._logins().end(page, actor.name or "")
        return self._page(200, heading="Logged in", words=DONE)

    def _form(self, page: str, login: LoginRow, name: str = "", wrong: str = "") -> Response:
        # 401 would need a challenge, and browsers would ask for the password in a window of their own.
        return self._page(
            403 if wrong else 200,
            heading="Log in",
            login=login,
            code=code(page),
            form=form_token(login),
            name=name[:128],
            wrong=wrong,
        )

    def _page(self, status: int, more: Mapping[str, str] | None = None, /, **values: object) -> Response:
        body = self._template.render(style=self._style, **values)
        return HTMLResponse(body, status, headers={**self._headers, **(more or {})})

    def _check_origin(self, headers: Mapping[str, str], host: str) -> None:
        """Raises Forbidden for a form of another site, by what browsers say of it (Fetch Metadata;
        over plain HTTP they send Origin alone)."""
        if "sec-fetch-site" in headers:
            if headers["sec-fetch-site"] != "same-origin":
                raise Forbidden(FOREIGN)
            return
        if "origin" in headers:
            ours = {host.lower(), urlsplit(self._state.trust.public_url or "").netloc.lower()}
            try:
                origin = urlsplit(headers["origin"]).netloc.lower()
            except ValueError:
                origin = ""
            if not origin or origin not in ours:
                raise Forbidden(FOREIGN)

    def _logins(self) -> Logins:
        return Logins(self._state.context.catalog.logins, self._state.context.now)


async def _fields(request: Request, headers: Mapping[str, str]) -> dict[str, str]:
    """The fields of a form. Raises Malformed, TooLarge, UnknownCoding."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnknownCoding("the page's form sends another kind of body; open the page in a browser")
    incoming = WebIncoming(
        request.receive, method="POST", segments=(), query={}, headers=headers, base_url="", limit=LARGEST
    )
    try:
        fields = parse_qs((await incoming.body(LARGEST)).decode("ascii"), max_num_fields=20, errors="strict")
    except ValueError:
        raise Malformed("the form cannot be read; open the page in a browser") from None
    return {name: values[-1] for name, values in fields.items()}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
