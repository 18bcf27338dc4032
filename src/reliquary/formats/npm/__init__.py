"""npm: packages of JavaScript, by the protocol of its registry."""

from reliquary.formats.npm.format import FORMAT

__all__ = ["FORMAT"]
