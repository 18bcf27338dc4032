"""A relay between a client and a server that writes down what is asked, and cuts one answer."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

GET = re.compile(rb"(?:GET|HEAD) (\S+) HTTP/1\.1\r\n.*?\r\n\r\n", re.DOTALL)


@dataclass
class Relay:
    """Passes bytes on. ``cut`` counts bytes of the first GET whose path ends with ``suffix``."""

    server: int
    cut: int
    suffix: str
    listener: socket.socket
    heads: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _armed: bool = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    def accept(self) -> None:
        """Serve until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._pair, args=(client,), daemon=True).start()

    def _pair(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.server))
        back = threading.Thread(target=self._back, args=(server, client), daemon=True)
        back.start()
        with suppress(OSError):
            while data := client.recv(65_536):
                self._note(data)
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        back.join(10)
        client.close()
        server.close()

    def _note(self, data: bytes) -> None:
        self.heads += [found[0].decode("latin-1") for found in GET.finditer(data)]

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while data := server.recv(65_536):
                self.statuses += [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data[:20])]
                wanted = bool(self.heads) and self.heads[-1].split(" ")[1].endswith(self.suffix)
                sent += len(data) if wanted else 0
                client.sendall(data)
                if self._armed and sent > self.cut:
                    self._armed = False
                    break
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(server: int, *, cut: int, suffix: str) -> Iterator[Relay]:
    """A relay to the server at this port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(server, cut, suffix, listener)
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
