"""The web: the only part that speaks HTTP to clients."""
