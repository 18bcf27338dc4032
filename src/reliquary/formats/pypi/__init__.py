"""The pypi format: the simple repository API, the upload form and what belongs to them."""

from reliquary.formats.pypi.format import PyPI

FORMAT = PyPI()

__all__ = ["FORMAT", "PyPI"]
