"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite counts only in INTEGER columns.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def _configuration() -> None:
    """Repositories and groups."""
    op.create_table(
        "repositories",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("remotes", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("anonymous_read", sa.Boolean(), nullable=False),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.Column("serial", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_repositories_format_name", "repositories", ["format", "name"], unique=True)
    op.create_table(
        "members",
        sa.Column("group_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["repositories.id"], name="fk_members_group_id_repositories", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["repositories.id"], name="fk_members_member_id_repositories", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "position", name="pk_members"),
    )
    op.create_index("ix_members_member_id", "members", ["member_id"])


def _content() -> None:
    """Packages, versions, blobs and the facts on them."""
    op.create_table(
        "packages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("serial", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_packages_repository_id_repositories", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_packages"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_packages_repository_id_name", "packages", ["repository_id", "name"], unique=True)
    op.create_table(
        "versions",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("package_id", ID, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["package_id"], ["packages.id"], name="fk_versions_package_id_packages", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_versions_package_id_version", "versions", ["package_id", "version"], unique=True)
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.create_table(
        "properties",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("owner_id", ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner_id", "name", name="pk_properties"),
    )


def _files() -> None:
    """Files."""
    op.create_table(
        "files",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("published", TIME, nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("fragment", sa.LargeBinary(), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=True),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", TIME, nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("fetched_at", TIME, nullable=True),
        sa.Column("verified_by", sa.Text(), nullable=True),
        sa.Column("publisher", sa.Text(), nullable=True),
        sa.Column("last_used", TIME, nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["blob"], ["blobs.digest"], name="fk_files_blob_blobs"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_files_repository_id_repositories", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_files_version_id_versions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_files_blob", "files", ["blob"])
    op.create_index("ix_files_repository_id_key", "files", ["repository_id", "key"], unique=True)
    op.create_index("ix_files_repository_id_last_used", "files", ["repository_id", "last_used"])
    op.create_index("ix_files_repository_id_scope", "files", ["repository_id", "scope"])
    op.create_index("ix_files_version_id", "files", ["version_id"])


def _pages() -> None:
    """Pages and what is behind them."""
    op.create_table(
        "pages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("media", sa.Text(), nullable=False),
        sa.Column("coding", sa.String(length=16), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", TIME, nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("serial", ID, nullable=False),
        sa.ForeignKeyConstraint(["blob"], ["blobs.digest"], name="fk_pages_blob_blobs"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_pages_repository_id_repositories", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pages"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pages_blob", "pages", ["blob"])
    op.create_index(
        "ix_pages_repository_id_path_media_coding", "pages", ["repository_id", "path", "media", "coding"], unique=True
    )
    op.create_index("ix_pages_repository_id_scope", "pages", ["repository_id", "scope"])
    op.create_table(
        "upstream_states",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("checked_at", TIME, nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("modified", sa.Text(), nullable=True),
        sa.Column("body", sa.String(length=64), nullable=True),
        sa.Column("gone_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name="fk_upstream_states_repository_id_repositories",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "path", name="pk_upstream_states"),
    )
    op.create_index("ix_upstream_states_body", "upstream_states", ["body"])


def _history() -> None:
    """Changes and events."""
    op.create_table(
        "changes",
        sa.Column("seq", ID, autoincrement=True, nullable=False),
        sa.Column("repository_id", ID, nullable=True),
        sa.Column("scope", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_repository_id_scope_seq", "changes", ["repository_id", "scope", "seq"])
    op.create_table(
        "events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("serial", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_events_repository_id_repositories", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_repository_id_serial", "events", ["repository_id", "serial"])


def _accounts() -> None:
    """Users, tokens and grants."""
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("expires", TIME, nullable=True),
        sa.Column("last_used", TIME, nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("revoked", TIME, nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_tokens_user_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_hash", "tokens", ["hash"])
    op.create_index("ix_tokens_user", "tokens", ["user"])
    op.create_table(
        "grants",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("repositories", sa.Text(), nullable=False),
        sa.Column("packages", sa.Text(), nullable=False),
        sa.Column("actions", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_grants_user_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_grants"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_grants_user", "grants", ["user"])


def _jobs() -> None:
    """The job queue."""
    op.create_table(
        "jobs",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("started", TIME, nullable=True),
        sa.Column("finished", TIME, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])


def upgrade() -> None:
    """Create every table."""
    _configuration()
    _content()
    _files()
    _pages()
    _history()
    _accounts()
    _jobs()


def downgrade() -> None:
    """Drop every table, those that refer to others first."""
    for name in (
        "files",
        "versions",
        "packages",
        "pages",
        "blobs",
        "properties",
        "upstream_states",
        "changes",
        "events",
        "tokens",
        "grants",
        "users",
        "jobs",
        "members",
        "repositories",
    ):
        op.drop_table(name)
