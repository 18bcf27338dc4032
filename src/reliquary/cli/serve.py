"""`reliquary serve`: prepare the data folder, say where we are, serve."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reliquary.cli import init, logs
from reliquary.cli.common import Failure, read_settings
from reliquary.cli.workers import Workers, listen
from reliquary.errors import ReliquaryError
from reliquary.formats.registry import formats
from reliquary.settings import Settings


def serve(
    data: Annotated[Path | None, typer.Option(help="Folder of the database, the blobs and the keys.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM) to serve https with.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate (PEM).")] = None,
) -> None:
    """Run the server. Needs nothing but a folder it may write to."""
    settings = read_settings(
        config, data=data, host=host, port=port, workers=workers, tls_cert=tls_cert, tls_key=tls_key
    )
    logs.configure(settings)
    check_certificate(settings)
    try:
        descriptor = init.lock(settings.data)
        prepared = asyncio.run(init.prepare(settings, os.environ))
    except ReliquaryError as error:
        raise Failure(error.message) from error
    if settings.workers == 1:
        announce(settings, prepared)
        run(settings)
    else:
        listening = listen(settings.host, settings.port, settings.workers)
        announce(settings.model_copy(update={"port": listening[0].getsockname()[1]}), prepared)
        # The workers hold the folder too: none is left alone with it when this process is killed.
        Workers(settings, listening, keep=[descriptor]).run()
    os.close(descriptor)


def check_certificate(settings: Settings) -> None:
    """Raises Failure when https cannot be served with the certificate and the key of the settings."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    for path in (settings.tls_cert, settings.tls_key):
        try:
            path.read_bytes()
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        # An empty password: a key that needs one would have every worker ask for it at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, "")
    except ssl.SSLError as error:
        reason = error.reason or "they are no PEM files, or the key needs a password"
        raise Failure(f"{settings.tls_cert} with the key {settings.tls_key} cannot be used: {reason}") from error


def run(settings: Settings) -> None:
    """Serve in this process until told to stop."""
    from reliquary.cli.serving import serving

    server = serving(settings)
    server.run()
    if not server.started:
        raise Failure(f"could not listen on {settings.host}:{settings.port}; see the line above")


def announce(settings: Settings, prepared: init.Prepared) -> None:
    """Say where the server is and how each client is pointed at it."""
    console = Console(highlight=False, soft_wrap=True)
    scheme = "https" if settings.tls_cert else "http"
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    base = settings.public_url or f"{scheme}://{host}:{settings.port}/"
    console.print(f"[bold]Reliquary[/bold] at [bold]{base}[/bold]  (data in {settings.data.absolute()})")
    if prepared.token is not None:
        console.print(f"Admin token: {prepared.token}")
        if sys.stdout.isatty():
            console.print(f"  {prepared.token.read_text().strip()}")
    for name, found in prepared.found.items():
        for remote in found.remotes:
            console.print(f"{name}: upstream {remote.url} (from {remote.source})")
        if not found.remotes:
            notes = "; ".join(found.notes)
            console.print(f"{name}: no upstream, main holds local only{f' ({notes})' if notes else ''}")
    rows = [
        (client.client, client.lines[0])
        for name, format in formats().items()
        for client in format.clients(f"{base}{name}/main/")
    ]
    for client, line in rows:
        console.print(f"  [bold]{client:<8}[/bold]{line}")
