"""Logins that a person ends in a browser; keys that documents are signed with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "logins",
        sa.Column("page", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("created", TIME, nullable=False),
        sa.Column("expires", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.name"], name="fk_logins_user_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("page", name="pk_logins"),
    )
    for column in ("secret", "user", "expires"):
        op.create_index(f"ix_logins_{column}", "logins", [column])
    op.create_table(
        "keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("private", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("expires", TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_keys"),
    )


def downgrade() -> None:
    """Drop both: logins under way end, and what the keys signed cannot be signed again by them."""
    op.drop_table("keys")
    op.drop_table("logins")
