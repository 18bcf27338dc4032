"""The go format: the module proxy protocol."""
