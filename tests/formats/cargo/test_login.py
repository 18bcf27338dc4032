"""``me``: the page at which a person makes a token for cargo."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest

from reliquary.errors import NotHere
from reliquary.formats.cargo import login
from reliquary.formats.verbs import Reply
from tests.formats.cargo.conftest import said
from tests.formats.cargo.fakes import Run, Shelved, answer
from tests.running import Answer, Running

FORM = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
PASSWORD = "p@ss:w/rd"
"""ann's, in conftest."""
GOOD = {"user": "anna", "password": "s3cret"}


class Outline(HTMLParser):
    """The tags of a page, in order, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def ask(run: Run, body: object = None, **more: Any) -> tuple[Reply, str]:
    reply = answer(run, Shelved(), "me", body, **more)
    assert reply.content_type == "text/html; charset=utf-8"
    return reply, reply.body.decode()


def post(fields: dict[str, str], headers: dict[str, str] = FORM, **more: Any) -> tuple[Reply, str]:
    return ask(login.take, urlencode(fields).encode(), headers=headers, **more)


def test_the_page_says_what_to_do() -> None:
    reply, page = ask(login.me)
    assert reply.status == 200
    text = unescape(page)
    assert '[registries.reliquary]\nindex = "sparse+https://repo.example/cargo/main/"\n' in text
    assert '[registry]\nglobal-credential-providers = ["cargo:token"]' in text
    assert "cargo login --registry reliquary" in text


def test_a_form_sends_the_password_in_a_body_to_where_it_came_from() -> None:
    outline = Outline(ask(login.me)[1])
    forms = [attributes for tag, attributes in outline.tags if tag == "form"]
    assert forms == [{"method": "post"}]
    fields = {str(attributes["name"]): attributes.get("type") for tag, attributes in outline.tags if tag == "input"}
    assert fields == {"user": None, "password": "password"}


@pytest.mark.parametrize("fields", [None, GOOD, {"user": "anna", "password": "wrong"}])
def test_every_page_is_kept_by_nobody_and_runs_nothing(fields: dict[str, str] | None) -> None:
    reply, page = ask(login.me) if fields is None else post(fields)
    headers = dict(reply.headers)
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "form-action 'self'" in policy
    style = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert len(style) == 1 and f"style-src 'sha256-{digest}'" in policy
    outline = Outline(page)
    assert not {tag for tag, _ in outline.tags} & {"script", "img", "link", "iframe", "a"}
    assert not {
        name for _, attributes in outline.tags for name in attributes if name.startswith("on") or name == "style"
    }


def test_the_token_is_shown_in_the_answer() -> None:
    reply, page = post(GOOD)
    assert reply.status == 200
    assert "<pre>rlq_anna_" in page
    assert "cargo login --registry reliquary" in page
    assert not [value for name, value in reply.headers if "rlq_" in value]
    assert "s3cret" not in page


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"user": "anna", "password": "wrong"}, 403),
        ({"user": "nobody", "password": "s3cret"}, 403),
        ({"user": "anna"}, 400),
        ({"user": "anna", "password": ""}, 400),
        ({}, 400),
    ],
)
def test_what_is_wrong_is_said_above_the_form(fields: dict[str, str], status: int) -> None:
    reply, page = post(fields)
    assert reply.status == status  # never 401: browsers would open a window of their own
    assert 'class="wrong"' in page and "<form" in page and "rlq_" not in page
    assert "www-authenticate" not in dict(reply.headers)


def test_what_was_typed_comes_back_escaped_and_without_the_password() -> None:
    _, page = post({"user": '"><script>alert(1)</script>', "password": "hunter2"})
    assert "<script" not in page and "hunter2" not in page
    fields = [attributes for tag, attributes in Outline(page).tags if tag == "input"]
    assert fields[0]["value"] == '"><script>alert(1)</script>'


def test_the_address_is_escaped() -> None:
    _, page = ask(login.me, base_url="https://repo.example/cargo/<b>&/")
    assert "<b>" not in page and "cargo/&lt;b&gt;&amp;/" in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://repo.example"}, 403),
        ({"origin": "https://repo.example"}, 200),
        ({"origin": "http://inner.example:8080", "host": "inner.example:8080"}, 200),
        ({"origin": "https://other.example"}, 403),
        ({"origin": "null", "host": ""}, 403),
        ({"origin": "https://[", "host": "repo.example"}, 403),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    reply, page = post(GOOD, {**FORM, **headers})
    assert reply.status == status
    assert ("rlq_" in page) == (status == 200)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"user":"anna","password":"s3cret"}', {"content-type": "application/json"}, 415),
        (b"user=anna&password=s3cret", {}, 415),
        (b"user=anna&password=%ff", FORM, 400),
        (b"user=\xff", FORM, 400),
        (b"a=1&" * 30, FORM, 400),
        (b"user=" + b"x" * 9000, FORM, 413),
    ],
)
def test_other_bodies_are_refused_on_a_page(body: bytes, headers: dict[str, str], status: int) -> None:
    reply, page = ask(login.take, body, headers=headers)
    assert reply.status == status
    assert "rlq_" not in page and "<h1>" in page
    assert (("connection", "close") in reply.headers) == (status in (413, 415))


def test_trusted_publishing_is_refused_in_words() -> None:
    with pytest.raises(NotHere, match="trusted publishing is not offered here") as caught:
        answer(login.exchange, Shelved(), "api/v1/trusted_publishing/tokens", {"jwt": "x.y.z"})
    assert "https://repo.example/cargo/main/me" in caught.value.message


# Against a server


def _post(server: Running, password: str) -> Answer:
    form = urlencode({"user": "ann", "password": password}).encode()
    return server.ask("/cargo/closed/me", method="POST", headers={"Content-Type": FORM["content-type"]}, body=form)


def test_a_token_of_the_page_acts_for_whom_it_was_made(server: Running) -> None:
    assert server.ask("/cargo/closed/config.json").status == 401
    page = server.ask("/cargo/closed/me")
    assert page.status == 200 and f'index = "sparse+{server.url}cargo/closed/"' in unescape(page.text)
    sent = _post(server, PASSWORD)
    found = re.search(r"<pre>(\S+)</pre>", sent.text)
    assert sent.status == 200 and found is not None, sent.text
    token = unescape(found[1])
    # As cargo shows it: ann is known then, who was granted nothing there.
    refused = server.ask("/cargo/closed/config.json", headers={"Authorization": token})
    assert (refused.status, said(refused)) == (403, "ann may not read in cargo/closed")
    titles = json.loads(server.ask("/api/v1/tokens", headers={"Authorization": f"Bearer {token}"}).body)
    assert [each["name"] for each in titles if token.startswith(each["begins"])] == [f"login by {login.TITLE}"]
    log = server.log.read_text()
    assert PASSWORD not in log and token not in log


def test_a_wrong_password_opens_nothing(server: Running) -> None:
    refused = _post(server, "wrong")
    assert refused.status == 403 and refused.header("www-authenticate") is None
    assert "the user name or the password is wrong" in refused.text.lower()
