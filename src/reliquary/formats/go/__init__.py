"""The go format: the module proxy protocol, with the checksum database beside it.

A package is a module path, a scope is one too; a version is three files, of which the zip is the listed one.
"""

from reliquary.formats.go.format import FORMAT, Go

__all__ = ["FORMAT", "Go"]
