"""The catalog on SQLite."""
