"""How alembic reaches the database: by the address the program gives, or by ``-x url=...``."""

from __future__ import annotations

from alembic import context

from reliquary.catalog.migrate import engine
from reliquary.catalog.tables import Base

url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True)["url"]

with engine(str(url)) as made, made.connect() as connection:
    # One transaction for the whole way: a kill leaves the old schema, and a second process that starts at
    # the same time waits here and then finds nothing to do.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
