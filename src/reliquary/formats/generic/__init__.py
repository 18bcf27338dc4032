"""The generic format: any file at any path, put and got directly.

A package is one path, its scope is the folder it lies in, and a folder's page is its listing.
"""

from reliquary.formats.generic.format import Generic

FORMAT = Generic()

__all__ = ["FORMAT", "Generic"]
