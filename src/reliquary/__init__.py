"""Reliquary: a self-hosted repository for every package a team uses."""

__version__ = "0.1.0"
