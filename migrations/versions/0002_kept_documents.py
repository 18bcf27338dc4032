"""Upstream documents are kept whole; rows stand for files that are here, or were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a state says of its document, and forget which ones were read: the next look at the
    upstream brings them whole. Rendered pages stay."""
    with op.batch_alter_table("upstream_states") as table:
        table.add_column(sa.Column("since", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("learned", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(
        "UPDATE upstream_states SET body = NULL, etag = NULL, modified = NULL"
        " WHERE body IS NULL OR body NOT IN (SELECT digest FROM blobs)"
    )
    op.execute(
        "DELETE FROM files WHERE blob IS NULL AND verified_by IS NULL"
        " AND repository_id IN (SELECT id FROM repositories WHERE kind = 'proxy')"
    )


def downgrade() -> None:
    """Forget the documents too: their pages are read again."""
    op.execute(
        "UPDATE upstream_states SET body = NULL, etag = NULL, modified = NULL"
        " WHERE body NOT IN (SELECT digest FROM blobs)"
    )
    with op.batch_alter_table("upstream_states") as table:
        table.drop_column("learned")
        table.drop_column("since")
