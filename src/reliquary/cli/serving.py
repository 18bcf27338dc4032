"""One process that answers: the whole server, or one worker of several."""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from reliquary.app import App
from reliquary.cli import logs
from reliquary.failpoints import arm
from reliquary.settings import Settings
from reliquary.upstream.discover import outgoing
from reliquary.web.server import Protocol

GRACE = 30
"""Seconds that answers under way have to end."""
NOT_STARTED = 3
"""Exit code of a worker that could not start."""


@dataclass(frozen=True)
class Post:
    """What a worker is told by its parent.

    Args:
        listening: descriptor of the socket this worker accepts from.
        figures: file this worker writes its counters to.
    """

    settings: Settings
    listening: int
    figures: Path


class Server(uvicorn.Server):
    """A server that is not ready any more from the signal on, not only when the last answer is out."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.stopping()
        super().handle_exit(sig, frame)


def settle_garbage() -> None:
    """Tell the collector what serving is like: what is loaded now stays, and a document of ten
    thousand files is made and dropped as a whole, without cycles worth looking for on the way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def serving(settings: Settings, figures: Path | None = None) -> Server:
    """The server of this process, not yet running."""
    settle_garbage()
    app = App(settings, outgoing(os.environ), figures)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Protocol,
        loop="uvloop",
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, app)


def main() -> None:
    """A worker: `reliquary.cli.workers` starts it and writes its `Post` to standard input."""
    with os.fdopen(os.dup(0), "rb") as orders:
        post: Post = pickle.load(orders)  # noqa: S301 - of our own parent, who holds the other end
    threading.Thread(target=_die_with_parent, daemon=True).start()
    logs.configure(post.settings)
    arm(os.environ)
    server = serving(post.settings, post.figures)
    server.run([socket.socket(fileno=post.listening)])
    if not server.started:
        sys.exit(NOT_STARTED)


def _die_with_parent() -> None:
    """Standard input ends with the parent, however that ended. A worker that went on would keep
    the port and the data folder from the next server."""
    os.read(0, 1)
    os._exit(NOT_STARTED)
