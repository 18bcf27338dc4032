"""The HTTP upstream against a loopback server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from backports import zstd

from reliquary.errors import SettingsError, Unavailable
from reliquary.types import Remote
from reliquary.upstream.addresses import AddressRefused
from reliquary.upstream.base import Document, Missing, Unchanged, Upstream, Validators
from reliquary.upstream.http import HttpUpstream
from reliquary.upstream.policy import Outgoing, UpstreamPolicy
from tests import upstreams

pytestmark = pytest.mark.anyio

QUICK = UpstreamPolicy(connect_timeout=1, read_timeout=1, rate_window=0.6, backoff=0.01, failures=50)


@pytest.fixture
async def far() -> AsyncIterator[upstreams.Upstream]:
    async with upstreams.playing({"/a": b"alpha", "/big": bytes(range(256)) * 1024}) as upstream:
        yield upstream


@pytest.fixture
async def near(far: upstreams.Upstream) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(Remote(far.url), QUICK)
    yield upstream
    await upstream.close()


async def whole(upstream: Upstream, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    async with upstream.open(url, headers=headers) as answer:
        assert not isinstance(answer, (Missing, Unchanged))
        return answer.status, b"".join([chunk async for chunk in answer.chunks()])


async def document(upstream: Upstream, url: str, validators: Validators | None = None) -> Document:
    found = await upstream.fetch(url, validators=validators)
    assert isinstance(found, Document)
    return found


async def test_document_with_validators_then_unchanged(far: upstreams.Upstream, near: HttpUpstream) -> None:
    found = await document(near, far.url + "a")
    assert (found.body, found.url, found.content_type) == (b"alpha", far.url + "a", "application/octet-stream")
    assert found.validators.etag and found.validators.modified
    assert isinstance(await near.fetch(far.url + "a", validators=found.validators), Unchanged)
    assert (await near.fetch(far.url + "none")).__class__ is Missing
    assert far.connections == 1


async def test_only_listed_headers_pass(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.put("/a", b"x", headers={"set-cookie": "session=1", "x-accel-redirect": "/etc", "x-pypi-last-serial": "7"})
    asked = {"Accept": "text/html", "Cookie": "c=1", "Authorization": "Bearer t", "Range": "bytes=0-0"}
    found = await near.fetch(far.url + "a", headers=asked)
    assert isinstance(found, Document)
    assert found.headers["x-pypi-last-serial"] == "7"
    assert not {"set-cookie", "x-accel-redirect"} & set(found.headers)
    await near.fetch(far.url + "a")
    first, second = far.requests
    assert first.headers["accept"] == "text/html"
    assert not {"cookie", "authorization", "range"} & (set(first.headers) | set(second.headers))


async def test_credentials_go_to_the_configured_origin_only(far: upstreams.Upstream) -> None:
    async with upstreams.playing({"/b": b"beta"}) as other:
        far.fault("/away", redirect=other.url + "b")
        remote = Remote(far.url.replace("//", "//kim:pa%40ss@"))
        upstream = HttpUpstream(remote, QUICK)
        assert upstream.base == far.url
        assert "pass" not in repr(upstream) and "kim" not in repr(upstream)
        assert (await document(upstream, far.url + "away")).body == b"beta"
        await upstream.close()
        assert far.requests[0].headers["authorization"] == "Basic a2ltOnBhQHNz"
        assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
async def test_codings_are_undone(far: upstreams.Upstream, near: HttpUpstream, pack: object) -> None:
    assert callable(pack)
    text = b"<a>six</a>" * 5000
    name = "gzip" if pack is gzip.compress else "zstd"
    far.put("/page", pack(text[:7]) + pack(text[7:]), headers={"content-encoding": name})
    assert (await document(near, far.url + "page")).body == text
    far.put("/page", pack(text)[:-5], headers={"content-encoding": name})
    with pytest.raises(Unavailable, match="cut short"):
        await near.fetch(far.url + "page")
    with pytest.raises(Unavailable, match="coded file"):
        await whole(near, far.url + "page")


async def test_bombs_and_limits(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/bomb", bomb=50_000_000)
    with pytest.raises(Unavailable, match="beyond all measure"):
        await near.fetch(far.url + "bomb")
    with pytest.raises(Unavailable, match="more than 100 bytes"):
        await near.fetch(far.url + "bomb", limit=100)
    far.fault("/big", chunked=True)
    with pytest.raises(Unavailable, match="more than 100 bytes"):
        await near.fetch(far.url + "big", limit=100)
    far.put("/odd", b"x", headers={"content-encoding": "br"})
    with pytest.raises(Unavailable, match="unknown coding"):
        await near.fetch(far.url + "odd")


@pytest.mark.parametrize(
    ("status", "headers", "pattern"),
    [(206, {"content-range": "bytes 0-3/9"}, "206"), (304, {}, "304"), (418, {}, "418"), (204, {}, "204")],
)
async def test_answers_nobody_asked_for(
    far: upstreams.Upstream, near: HttpUpstream, status: int, headers: dict[str, str], pattern: str
) -> None:
    far.fault("/a", status=status, headers=headers)
    with pytest.raises(Unavailable, match=pattern):
        await near.fetch(far.url + "a")
    assert far.hits("/a") == 1


async def test_refusals_raise_an_alarm(
    far: upstreams.Upstream, near: HttpUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    far.fault("/a", status=403)
    with caplog.at_level(logging.ERROR), pytest.raises(Unavailable, match="refuses") as problem:
        await near.fetch(far.url + "a?sig=secret")
    assert problem.value.code == "upstream-refuses"
    assert "403" in caplog.text and "secret" not in caplog.text
    lenient = HttpUpstream(Remote(far.url), replace(QUICK, forbidden_is_missing=True))
    assert isinstance(await lenient.fetch(far.url + "a"), Missing)
    await lenient.close()


async def test_too_many_requests_rests_the_host(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/a", status=429, retry_after="40")
    with pytest.raises(Unavailable) as problem:
        await near.fetch(far.url + "a")
    assert problem.value.retry_after == 40
    with pytest.raises(Unavailable) as problem:
        await near.fetch(far.url + "big")
    assert 30 < problem.value.retry_after <= 40
    assert far.hits() == 1


async def test_passing_failures_are_tried_again(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/a", status=502, times=2)
    assert (await document(near, far.url + "a")).body == b"alpha"
    assert far.hits("/a") == 3
    far.fault("/a", down=True, times=1)
    assert await whole(near, far.url + "a") == (200, b"alpha")
    far.fault("/a", cut=2, times=1)
    assert (await document(near, far.url + "a")).body == b"alpha"
    far.fault("/a", status=503)
    with pytest.raises(Unavailable, match="503"):
        await near.fetch(far.url + "a")


async def test_retries_have_a_budget(far: upstreams.Upstream) -> None:
    upstream = HttpUpstream(Remote(far.url), replace(QUICK, retry_budget=3))
    far.fault("/a", status=500)
    for _ in range(4):
        with pytest.raises(Unavailable):
            await upstream.fetch(far.url + "a")
    await upstream.close()
    assert far.hits("/a") == 4 + 3


async def test_breaker_opens_and_recovers(far: upstreams.Upstream) -> None:
    upstream = HttpUpstream(Remote(far.url), replace(QUICK, retries=0, failures=2, cooldown=0.2))
    far.stop()
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await upstream.fetch(far.url + "a")
    far.resume()
    with pytest.raises(Unavailable, match="left alone"):
        await upstream.fetch(far.url + "a")
    await asyncio.sleep(0.25)
    assert (await document(upstream, far.url + "a")).body == b"alpha"
    await upstream.close()


@pytest.mark.parametrize("lie", [5, -2])
async def test_wrong_content_length(far: upstreams.Upstream, near: HttpUpstream, lie: int) -> None:
    far.fault("/a", lie=lie)
    with pytest.raises(Unavailable):
        await near.fetch(far.url + "a")
    with pytest.raises(Unavailable):
        await whole(near, far.url + "a")
    far.heal()
    assert (await document(near, far.url + "a")).body == b"alpha"


async def test_surplus_is_never_the_next_answer(far: upstreams.Upstream, near: HttpUpstream) -> None:
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    far.put("/smuggle", b"five!" + evil)
    far.fault("/smuggle", lie=-len(evil))
    with pytest.raises(Unavailable, match="another number of bytes"):
        await whole(near, far.url + "smuggle")
    assert (await document(near, far.url + "a")).body == b"alpha"


async def test_length_beside_chunks_is_refused(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/a", chunked=True, headers={"content-length": "5"})
    with pytest.raises(Unavailable, match="sent chunks"):
        await near.fetch(far.url + "a")


@pytest.mark.parametrize("chunked", [True, False])
async def test_cut_download(far: upstreams.Upstream, near: HttpUpstream, chunked: bool) -> None:
    far.fault("/big", cut=70_000, chunked=chunked)
    came = 0
    with pytest.raises(Unavailable):
        async with near.open(far.url + "big") as answer:
            assert not isinstance(answer, (Missing, Unchanged))
            async for chunk in answer.chunks():
                came += len(chunk)
    assert 0 < came <= 70_000
    assert far.hits("/big") == 1


async def test_slow_drip_and_silence(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/big", drip=200)
    with pytest.raises(Unavailable, match="too slowly"):
        await whole(near, far.url + "big")
    impatient = HttpUpstream(Remote(far.url), replace(QUICK, read_timeout=0.1, retries=0))
    far.fault("/a", delay=0.5)
    with pytest.raises(Unavailable, match="in time"):
        await impatient.fetch(far.url + "a")
    await impatient.close()


async def test_endless_head(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.fault("/a", raw=b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000)
    with pytest.raises(Unavailable):
        await near.fetch(far.url + "a")


async def test_slow_reader_is_not_the_upstreams_fault(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.put("/huge", bytes(3_000_000))
    total = 0
    async with near.open(far.url + "huge") as answer:
        assert not isinstance(answer, (Missing, Unchanged))
        async for chunk in answer.chunks():
            if not total:
                await asyncio.sleep(1.2)
            total += len(chunk)
    assert total == 3_000_000


@pytest.mark.parametrize("span", ["bytes=2-", "bytes=1-3", "bytes=-2"])
async def test_ranges(far: upstreams.Upstream, near: HttpUpstream, span: str) -> None:
    part = {"bytes=2-": b"pha", "bytes=1-3": b"lph", "bytes=-2": b"ha"}[span]
    assert await whole(near, far.url + "a", {"range": span}) == (206, part)
    far.fault("/a", no_ranges=True)
    assert await whole(near, far.url + "a", {"range": span}) == (200, b"alpha")


@pytest.mark.parametrize("lie", ["bytes 0-2/5", "bytes 2-4/3", "nonsense", "bytes 2-3/5", ""])
async def test_wrong_content_range(far: upstreams.Upstream, near: HttpUpstream, lie: str) -> None:
    far.fault("/a", headers={"content-range": lie})
    with pytest.raises(Unavailable, match="part"):
        await whole(near, far.url + "a", {"range": "bytes=2-"})


async def test_head(far: upstreams.Upstream, near: HttpUpstream) -> None:
    async with near.open(far.url + "a", method="HEAD") as answer:
        assert not isinstance(answer, (Missing, Unchanged))
        assert answer.size == 5
        assert [chunk async for chunk in answer.chunks()] == []
    async with near.open(far.url + "none", method="HEAD") as answer:
        assert isinstance(answer, Missing)
    far.fault("/a", no_head=True)
    with pytest.raises(Unavailable, match="405"):
        async with near.open(far.url + "a", method="HEAD"):
            pass
    assert far.connections == 1


async def test_conditional_open(far: upstreams.Upstream, near: HttpUpstream) -> None:
    found = await document(near, far.url + "a")
    async with near.open(far.url + "a", headers={"If-None-Match": found.validators.etag or ""}) as answer:
        assert isinstance(answer, Unchanged)


async def test_a_caller_that_leaves_early_frees_the_connection(far: upstreams.Upstream) -> None:
    upstream = HttpUpstream(Remote(far.url), replace(QUICK, max_connections=1, pool_timeout=0.5))
    for _ in range(3):
        async with upstream.open(far.url + "big") as answer:
            assert not isinstance(answer, (Missing, Unchanged))
    async with upstream.open(far.url + "big"):
        with pytest.raises(Unavailable, match="too much"):
            await upstream.fetch(far.url + "a")
    assert (await document(upstream, far.url + "a")).body == b"alpha"
    await upstream.close()


async def test_redirects_are_followed_a_few_times(far: upstreams.Upstream, near: HttpUpstream) -> None:
    for hop in range(6):
        far.fault(f"/hop{hop}", redirect=f"hop{hop + 1}" if hop < 5 else far.url + "a")
    found = await document(near, far.url + "hop1")
    assert (found.url, found.body) == (far.url + "a", b"alpha")
    with pytest.raises(Unavailable, match="without end"):
        await near.fetch(far.url + "hop0")
    far.fault("/loop", redirect="/loop")
    with pytest.raises(Unavailable, match="without end"):
        await near.fetch(far.url + "loop")


@pytest.mark.parametrize(
    "target",
    [
        "ftp://files.example/x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::]/",
        "http://[fe80::1%25lo]/",
        "http://\u2460\u2461\u2466.0.0.1/",
        "http://bad host/",
        "http://a:99999/",
    ],
)
async def test_bad_redirects_even_for_a_loopback_upstream(
    far: upstreams.Upstream, near: HttpUpstream, target: str
) -> None:
    far.fault("/a", raw=f"HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode())
    with pytest.raises(AddressRefused):
        await near.fetch(far.url + "a")


async def test_a_public_upstream_cannot_lead_inwards() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return {"index.example": ["203.0.113.9", "9.9.9.9"][1:], "inner.example": ["9.9.9.9", "127.0.0.1"]}[host]

    upstream = HttpUpstream(Remote("http://index.example/"), QUICK, resolve=resolve)
    for url in ("http://127.0.0.1/", "http://inner.example/", "http://10.0.0.1/x", "http://index.example:22/"):
        with pytest.raises(AddressRefused):
            await upstream.fetch(url)
    await upstream.close()


async def test_the_checked_address_is_the_dialled_one(far: upstreams.Upstream) -> None:
    answers = [["9.9.9.9"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    hours = itertools.count(0.0, 3600.0)  # each look at the clock is an hour later: no answer is remembered
    remote = Remote(f"http://index.example:{far.port}/")
    upstream = HttpUpstream(remote, QUICK, resolve=rebinding, clock=lambda: next(hours))
    with pytest.raises(AddressRefused):
        await upstream.fetch("a")
    await upstream.close()
    assert far.connections == 0


async def test_a_private_upstream_by_name_may_be_dialled(far: upstreams.Upstream) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    upstream = HttpUpstream(Remote(f"http://index.example:{far.port}"), QUICK, resolve=resolve)
    assert (await document(upstream, "a")).body == b"alpha"
    assert far.requests[0].headers["host"] == f"index.example:{far.port}"
    await upstream.close()


def certify(folder: Path) -> tuple[ssl.SSLContext, Outgoing]:
    """A server's context for index.example, and a client that trusts it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("index.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return context, Outgoing(ca=folder / "ca.pem")


async def test_tls_checks_the_name_and_never_goes_back(tmp_path: Path) -> None:
    context, ours = certify(tmp_path)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with upstreams.playing({"/a": b"alpha"}, tls=context) as far:
        far.fault("/down", redirect=f"http://index.example:{far.port}/a")
        upstream = HttpUpstream(Remote(f"https://index.example:{far.port}/"), QUICK, outgoing=ours, resolve=resolve)
        assert (await document(upstream, "a")).body == b"alpha"
        with pytest.raises(AddressRefused):
            await upstream.fetch("down")
        await upstream.close()
        for url, outgoing in ((f"https://other.example:{far.port}/", ours), (upstream.base, Outgoing())):
            stranger = HttpUpstream(Remote(url), replace(QUICK, retries=0), outgoing=outgoing, resolve=resolve)
            with pytest.raises(Unavailable, match="not trusted"):
                await stranger.fetch("a")
            await stranger.close()


async def test_outgoing_proxy(far: upstreams.Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """A forward proxy sees absolute addresses; ours answers them itself."""
    far.put("http://index.example/a", b"by proxy")
    proxy = far.url.replace("//", "//kim:secret@")
    outgoing = Outgoing(proxies={"http": proxy}, no_proxy=("direct.example",))
    assert "secret" not in repr(outgoing)

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert host == "direct.example"
        return ["127.0.0.1"]

    upstream = HttpUpstream(Remote("http://index.example/"), QUICK, outgoing=outgoing, resolve=resolve)
    with caplog.at_level(logging.DEBUG):
        assert (await document(upstream, "a")).body == b"by proxy"
        for url in ("http://10.0.0.1/", "http://direct.example/", "http://localhost/"):
            with pytest.raises(AddressRefused):
                await upstream.fetch(url)
    await upstream.close()
    assert far.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert "secret" not in caplog.text


@pytest.mark.parametrize("url", ["file:///srv", "index.example/simple", "http://", "http://[::1/"])
def test_unusable_bases(url: str) -> None:
    with pytest.raises(SettingsError):
        HttpUpstream(Remote(url))


def test_fits_the_protocol() -> None:
    upstream: Upstream = HttpUpstream(Remote("http://index.example/simple?x=1#y"))
    assert upstream.base == "http://index.example/simple/"


async def test_interim_answers_are_skipped(far: upstreams.Upstream, near: HttpUpstream) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    far.fault("/a", raw=hint + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert (await document(near, far.url + "a")).body == b"ok"
    far.fault("/a", raw=hint + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!")
    with pytest.raises(Unavailable, match="another number"):
        await near.fetch(far.url + "a")


async def test_cookies_are_not_kept(far: upstreams.Upstream, near: HttpUpstream) -> None:
    far.put("/a", b"x", headers={"set-cookie": "session=1; path=/"})
    for _ in range(2):
        await near.fetch(far.url + "a")
    assert all("cookie" not in request.headers for request in far.requests)


async def test_a_cancelled_probe_lets_the_next_one_pass(far: upstreams.Upstream) -> None:
    upstream = HttpUpstream(Remote(far.url), replace(QUICK, retries=0, failures=1, cooldown=0.05))
    far.fault("/a", down=True)
    with pytest.raises(Unavailable):
        await upstream.fetch(far.url + "a")
    await asyncio.sleep(0.06)
    far.fault("/a", delay=5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await upstream.fetch(far.url + "a")
    far.heal()
    assert (await document(upstream, far.url + "a")).body == b"alpha"
    await upstream.close()


async def test_tls_through_an_outgoing_proxy(tmp_path: Path) -> None:
    context, ours = certify(tmp_path)
    asked: list[bytes] = []
    async with upstreams.playing({"/a": b"alpha"}, tls=context) as far:

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.close()

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            there, back = await asyncio.open_connection("127.0.0.1", far.port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

        server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        proxy = f"http://kim:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstream = HttpUpstream(
            Remote("https://tim:own@index.example/"), QUICK, outgoing=replace(ours, proxies={"https": proxy})
        )
        assert (await document(upstream, "a")).body == b"alpha"
        assert await whole(upstream, "a") == (200, b"alpha")
        await upstream.close()
        server.close()
        await asyncio.sleep(0.05)
    assert len(asked) == 1 and asked[0].startswith(b"CONNECT index.example:443 ")
    assert b"proxy-authorization: basic" in asked[0].lower()
    assert b"\r\nauthorization" not in asked[0].lower()
    assert "proxy-authorization" not in far.requests[0].headers
