"""Several workers on one port: one server to whoever looks at it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.faults.forks import Forks
from tests.faults.playground import (
    JSON,
    Got,
    get,
    lay_plain,
    lay_wheel,
    litter,
    noise,
    settings,
    sha256,
    stored,
)
from tests.running import Running, basic, environment, free_port, running, start
from tests.upstreams import Upstream, playing

NONE = 'workers = 2\nupstreams = { pypi = "none", npm = "none", cargo = "none", go = "none" }\n'
PATIENCE = 30.0


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(server: Running, count: int = 2) -> list[int]:
    """The workers, once there are as many."""
    until(lambda: len(children(server.process.pid)) == count)
    return children(server.process.pid)


def until(true: Callable[[], object]) -> None:
    """Wait for something to become true, not for ever."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


def _link(path: Path) -> str:
    """Where a descriptor points; "" when it was closed meanwhile."""
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def holds(pid: int, server: int, client: int) -> bool:
    """Whether a process has the server's end of the connection between these two ports."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = (server, client)
    ends = {row[9] for row in rows if tuple(int(end.rpartition(":")[2], 16) for end in row[1:3]) == ports}
    wanted = {f"socket:[{end}]" for end in ends}
    return any(_link(each) in wanted for each in Path(f"/proc/{pid}/fd").iterdir())


class Line:
    """A connection that stays open, to a certain worker or to any."""

    def __init__(self, server: Running, worker: int | None = None) -> None:
        self._token = server.token
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline
            self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            assert self.ask("/readyz")[0] == 200
            if worker is None or holds(worker, server.port, self._connection.sock.getsockname()[1]):
                return
            self.close()

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, token: str | None = None
    ) -> tuple[int, bytes]:
        """Status and body; asked as the administrator when there is a body."""
        token = token or (self._token if body is not None else None)
        headers = {} if token is None else {"Authorization": basic("__token__", token)}
        if body is not None and path.startswith("/api/"):
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, body=body, headers={"Accept": "*/*", **headers})
        response = self._connection.getresponse()
        return response.status, response.read()

    def post(self, path: str, value: Any) -> Any:
        """Ask the API to make something."""
        status, body = self.ask(f"/api/v1{path}", "POST", json.dumps(value).encode())
        assert status in (201, 202), body
        return json.loads(body)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with playing() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="module")
def server(upstream: Upstream, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("workers") / "var"
    with running(data, config=settings(upstream, "workers = 2"), by=forks.spawn) as server:
        workers(server)
        yield server


@pytest.fixture
def lines(server: Running) -> Iterator[list[Line]]:
    """A connection to each worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Line(server, pid))) for pid in workers(server)]


def test_a_publish_is_seen_by_every_worker_at_once(lines: list[Line]) -> None:
    one, other = lines
    for number in range(20):
        writer, reader = (one, other) if number % 2 else (other, one)
        name = f"seen/{number}.txt"
        for line in lines:
            assert line.ask("/generic/local/seen/")[0] in (200, 404)
            assert line.ask(f"/generic/local/{name}")[0] == 404
        assert writer.ask(f"/generic/local/{name}", "PUT", name.encode())[0] == 201
        for line in (reader, writer):
            assert line.ask(f"/generic/local/{name}") == (200, name.encode())
            assert f"{number}.txt".encode() in line.ask("/generic/local/seen/")[1]
        assert writer.ask(f"/generic/local/{name}", "DELETE", b"")[0] in (200, 204)
        assert reader.ask(f"/generic/local/{name}")[0] == 404


def test_tokens_and_repositories_are_seen_by_every_worker_at_once(lines: list[Line]) -> None:
    one, other = lines
    one.post("/repositories", {"format": "generic", "name": "team", "kind": "hosted", "anonymous_read": False})
    assert other.ask("/generic/team/a.txt")[0] == 401
    assert other.ask("/generic/team/a.txt", "PUT", b"hello")[0] == 201
    other.post("/users", {"name": "ann"})
    token = one.post("/tokens", {"name": "t", "user": "ann"})["token"]
    assert other.ask("/generic/team/a.txt", token=token)[0] == 403
    grant = json.dumps({"grants": [{"repositories": "generic/team", "actions": ["read"]}]}).encode()
    assert one.ask("/api/v1/users/ann/grants", "PUT", grant)[0] in (200, 204)
    assert other.ask("/generic/team/a.txt", token=token) == (200, b"hello")
    assert one.ask("/api/v1/users/ann", "DELETE", b"")[0] in (200, 204)
    assert other.ask("/generic/team/a.txt", token=token)[0] == 401


def crowd(server: Running, paths: list[str]) -> list[Got]:
    """One asker a path, all at once, over connections that were spread over the workers."""
    found: list[Got] = []
    lines = [(path, Line(server)) for path in paths]
    gate = threading.Barrier(len(paths))

    def ask(path: str, line: Line) -> None:
        gate.wait(20)
        status, body = line.ask(path)
        found.append(Got(status, {}, body, True))
        line.close()

    threads = [threading.Thread(target=ask, args=each) for each in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_fifty_askers_of_two_workers_are_one_request(server: Running, upstream: Upstream) -> None:
    wheel = lay_wheel(upstream, "crowd", noise(300_000, "crowd"))
    plain = lay_plain(upstream, "crowd", noise(300_000, "plain"))
    upstream.fault("/simple/crowd/", delay=0.3)
    upstream.fault(wheel.there, drip=600_000)
    upstream.fault(plain.there, drip=600_000)
    upstream.forget()
    pages = crowd(server, ["/pypi/proxy/simple/crowd/"] * 50)
    assert len(pages) == 50 and {got.status for got in pages} == {200}
    assert upstream.hits("/simple/crowd/") == 1
    for played in (wheel, plain):
        files = crowd(server, [played.here] * 50)
        assert [(got.status, got.body == played.data) for got in files] == [(200, True)] * 50
        assert upstream.hits(played.there) == 1
        assert stored(server, played.here) == sha256(played.data)
    assert upstream.hits("/simple/crowd/") == 1
    assert list((server.data / "flights").iterdir()) == []


def test_a_file_that_the_upstream_lacks_is_missing_for_every_worker(server: Running, upstream: Upstream) -> None:
    upstream.fault("/raw/lacking.bin", delay=0.3, status=404)
    found = crowd(server, ["/generic/proxy/lacking.bin"] * 20)
    assert [got.status for got in found] == [404] * 20


def test_a_missing_or_broken_page_is_asked_for_once(server: Running, upstream: Upstream) -> None:
    upstream.fault("/simple/nothing/", delay=0.3, status=404)
    upstream.fault("/simple/broken/", delay=0.3, status=500)
    upstream.forget()
    for name, status in (("nothing", 404), ("broken", 503)):
        found = crowd(server, [f"/pypi/proxy/simple/{name}/"] * 20)
        assert [got.status for got in found] == [status] * 20
        assert upstream.hits(f"/simple/{name}/") == 1


def refused(line: Line, path: str) -> None:
    """Ask, and be hung up on."""
    with pytest.raises(OSError):
        line.ask(path)


def test_a_worker_that_dies_asking_leaves_the_page_to_the_other(server: Running, upstream: Upstream) -> None:
    lay_wheel(upstream, "orphan", noise(1000, "orphan"))
    upstream.fault("/simple/orphan/", delay=1.0, times=1)
    first, second = workers(server)
    dying, line = Line(server, first), Line(server, second)
    upstream.forget()
    asking = threading.Thread(target=lambda: refused(dying, "/pypi/proxy/simple/orphan/"))
    asking.start()
    until(lambda: upstream.hits("/simple/orphan/") == 1)
    os.kill(first, signal.SIGKILL)
    assert line.ask("/pypi/proxy/simple/orphan/")[0] == 200
    asking.join(10)
    assert upstream.hits("/simple/orphan/") == 2
    line.close()
    dying.close()
    gone(server, first)


def metric(text: bytes, name: str) -> float:
    """The value of a line of /metrics, 0 when there is none."""
    return next((float(line.rpartition(" ")[2]) for line in text.decode().splitlines() if line.startswith(name)), 0.0)


REQUESTS = 'reliquary_events_total{kind="requests"}'


def test_metrics_add_up_and_survive_their_worker(server: Running) -> None:
    first, second = workers(server)
    one, other = Line(server, first), Line(server, second)
    # What earlier tests asked of either worker is known to the other within a second.
    time.sleep(1.5)
    before = metric(one.ask("/metrics")[1], REQUESTS)
    for line, count in ((one, 3), (other, 4)):
        for _ in range(count):
            line.ask("/generic/local/none.txt")
    until(lambda: metric(one.ask("/metrics")[1], REQUESTS) == before + 7)
    assert metric(other.ask("/metrics")[1], REQUESTS) == before + 7
    seen = [metric(line.ask("/metrics")[1], REQUESTS) for line in (one, other) * 5]
    assert seen == [before + 7] * 10
    os.kill(first, signal.SIGKILL)
    gone(server, first)
    assert metric(other.ask("/metrics")[1], REQUESTS) == before + 7
    for line in (one, other):
        line.close()


def gone(server: Running, worker: int) -> None:
    """Wait until a worker is no more."""
    until(lambda: worker not in children(server.process.pid))


def verified(line: Line, token: str) -> None:
    """Have a job done."""
    job = line.post("/jobs", {"kind": "verify"})["id"]
    until(lambda: b'"done"' in line.ask(f"/api/v1/jobs/{job}", token=token)[1])


def test_a_worker_that_dies_is_replaced_and_its_jobs_go_on(server: Running) -> None:
    for victim in workers(server):
        os.kill(victim, signal.SIGKILL)
        gone(server, victim)
        with closing(Line(server, workers(server)[-1])) as line:
            verified(line, server.token)


def serve(forks: Forks, data: Path, port: int) -> tuple[int, str]:
    """Run a server that is expected to end by itself: its exit code, and what it said."""
    config = data.parent / "serve.toml"
    config.write_text(NONE)
    args = ["serve", "--data", str(data), "--port", str(port), "--config", str(config)]
    return forks.run(args, data.parent)


def test_workers_that_cannot_start_end_the_server(forks: Forks, tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir()
    (data / "blobs").write_text("in the way")
    code, said = serve(forks, data, free_port())
    assert code == 1
    assert "the workers die as they start" in said


def test_a_taken_port_is_told_in_one_line(forks: Forks, server: Running, tmp_path: Path) -> None:
    code, said = serve(forks, tmp_path / "var", server.port)
    assert code == 1
    assert "could not listen" in said and "Traceback" not in said


def test_a_stop_finishes_what_is_under_way(upstream: Upstream, forks: Forks, tmp_path: Path) -> None:
    played = lay_plain(upstream, "finishes", noise(600_000, "finishes"))
    upstream.fault(played.there, drip=300_000)
    server = start(tmp_path / "var", config=settings(upstream, "workers = 2"), by=forks.spawn)
    pids = workers(server)
    found: list[Got] = []
    threads = [threading.Thread(target=lambda: found.append(get(server, played.here))) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.8)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert get(server, "/readyz").status == 0, "nobody is kept waiting by a server that stops"
    server.process.wait(20)
    assert time.monotonic() - began < 15
    for thread in threads:
        thread.join(20)
    assert [(got.status, got.body == played.data) for got in found] == [(200, True)] * 6
    assert server.process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert litter(server.data) == []
    assert stored(server, played.here) == sha256(played.data)


def test_workers_do_not_outlive_a_killed_parent(forks: Forks, tmp_path: Path) -> None:
    server = start(tmp_path / "var", config=NONE, by=forks.spawn)
    pids = workers(server)
    server.ask("/generic/local/none.txt")
    until(lambda: metric(server.ask("/metrics").body, REQUESTS) == 1)
    server.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with running(tmp_path / "var", config=NONE, by=forks.spawn) as again:
        assert get(again, "/readyz", {"Accept": JSON}).status == 200
        assert metric(again.ask("/metrics").body, REQUESTS) == 0, "a start begins anew"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path, Path]:
    """Who is trusted, a certificate of theirs for this machine, its key."""
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    made = authority.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    for each in made.cert_chain_pems:
        each.write_to_path(chain, append=True)
    made.private_key_pem.write_to_path(key)
    return authority, chain, key


def secretly(port: int, context: ssl.SSLContext) -> bytes:
    """The whole answer to a GET by https, as bytes; nothing when there was none."""
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            line = stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1"))
            line.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: line.recv(65_536), b""))
    except ConnectionError:
        return b""


@pytest.mark.parametrize("count", [1, 2])
def test_every_worker_speaks_tls(
    forks: Forks, authority: tuple[trustme.CA, Path, Path], tmp_path: Path, count: int
) -> None:
    config, log, port = tmp_path / "tls.toml", tmp_path / "var.log", free_port()
    config.write_text(
        f'workers = {count}\nupstreams = {{ pypi = "none", npm = "none", cargo = "none", go = "none" }}\n'
    )
    trusted, chain, key = authority
    args = ["serve", "--data", str(tmp_path / "var"), "--port", str(port), "--config", str(config)]
    process = forks.spawn([*args, "--tls-cert", str(chain), "--tls-key", str(key)], environment(), log)
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    server = Running(process, port, tmp_path / "var", log)
    try:
        until(lambda: secretly(port, context).startswith(b"HTTP/1.1 200 "))
        pids = workers(server) if count > 1 else [process.pid]
        assert len(pids) == count
        with suppress(OSError, http.client.HTTPException):
            assert server.ask("/readyz", timeout=10).status == 0, "plain words are no answer's worth"
        for _ in range(20):
            assert secretly(port, context).startswith(b"HTTP/1.1 200 ")
        assert f"https://127.0.0.1:{port}/" in log.read_text()
    finally:
        server.stop()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("broken", ["missing", "no certificate", "another key"])
def test_a_certificate_that_cannot_be_used_is_told_in_one_line(
    forks: Forks, authority: tuple[trustme.CA, Path, Path], tmp_path: Path, broken: str, count: int
) -> None:
    _, chain, key = authority
    odd = tmp_path / "odd.pem"
    if broken == "no certificate":
        odd.write_text("none")
    elif broken == "another key":
        trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(odd)
    pair = (chain, odd) if broken == "another key" else (odd, key)
    args = ["serve", "--data", str(tmp_path / "var"), "--port", str(free_port()), "--workers", str(count)]
    code, said = forks.run([*args, "--tls-cert", str(pair[0]), "--tls-key", str(pair[1])], tmp_path)
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith("Error: ") and str(odd) in said
