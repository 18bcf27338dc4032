"""Readers of archives that formats share: in one pass or by a strict directory, never unpacked to disk."""
