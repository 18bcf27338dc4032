"""Repositories: hosted, proxy and group, composed over the format protocol; they know no format."""
