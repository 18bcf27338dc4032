"""TLS in front of a server: the go command shows credentials over nothing else."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme


@contextmanager
def secured(port: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """Take TLS connections to ``localhost`` and pass their bytes on to a port of loopback.

    Yields:
        The port it listens at, and the file of the authority that its certificate is of.
    """
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_accept, args=(listener, context, port), daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1]), path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_pair, args=(plain, context, port), daemon=True).start()


def _pair(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        suppress(OSError),
        plain,
        socket.create_connection(("127.0.0.1", port)) as server,
        context.wrap_socket(plain, server_side=True) as client,
    ):
        # One request a connection: both directions need not be read at once from one TLS socket.
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65_536)
            if not data:
                return
            head += data
        first, rest = head.split(b"\r\n", 1)
        server.sendall(first + b"\r\nConnection: close\r\n" + rest)
        while answer := server.recv(65_536):
            client.sendall(answer)
