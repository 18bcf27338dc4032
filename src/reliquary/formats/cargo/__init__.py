"""The cargo format: alternate registries over the sparse protocol, and mirrors of other ones.

A package is a crate, told apart without case and ``-`` against ``_``; a scope is a crate's index file.
"""

from reliquary.formats.cargo.format import FORMAT, Cargo

__all__ = ["FORMAT", "Cargo"]
