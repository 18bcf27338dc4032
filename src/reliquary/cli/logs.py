"""How log lines look; secrets are taken out before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from reliquary.settings import Settings

_TOKEN = re.compile(r"rlq_[A-Za-z0-9_-]{6,}")
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_AUTHORIZATION = re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._-]{8,}")


def redact(text: str) -> str:
    """The text without tokens, credentials in addresses and Authorization values."""
    text = _TOKEN.sub("rlq_***", text)
    return _AUTHORIZATION.sub(r"\1 ***", _USERINFO.sub("***@", text))


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redact(value)
    return event


def configure(settings: Settings) -> None:
    """Set up structlog and the standard library's logging for this process."""
    level = getattr(logging, settings.log_level.upper())
    last: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        # The usual formatter prints the values of local variables: passwords among them.
        plain = structlog.dev.plain_traceback
        last = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if settings.log_format == "json" else structlog.dev.set_exc_info,
            _redacted,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))
