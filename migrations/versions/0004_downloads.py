"""How often each file was downloaded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count; what was downloaded before is not known."""
    op.add_column("files", sa.Column("downloads", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    """Drop the column where it is: a copy of the table would give ids of deleted rows again."""
    op.drop_column("files", "downloads")
