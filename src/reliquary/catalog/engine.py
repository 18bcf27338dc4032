"""The catalog, opened once and handed to those who need it."""

from __future__ import annotations

import asyncio

from reliquary.catalog import migrate
from reliquary.catalog.accounts import Accounts
from reliquary.catalog.changes import Changes
from reliquary.catalog.database import Database
from reliquary.catalog.events import Events
from reliquary.catalog.files import Files
from reliquary.catalog.jobs import Jobs
from reliquary.catalog.keys import Keys
from reliquary.catalog.logins import Logins
from reliquary.catalog.packages import Packages
from reliquary.catalog.pages import Pages
from reliquary.catalog.repositories import Repositories
from reliquary.errors import SettingsError


class Catalog:
    """Everything the database knows, by topic. Made by `open`.

    Args:
        database: the engines, which `close` closes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.repositories = Repositories(database)
        self.files = Files(database)
        self.packages = Packages(database)
        self.pages = Pages(database)
        self.changes = Changes(database)
        self.accounts = Accounts(database)
        self.events = Events(database)
        self.jobs = Jobs(database)
        self.logins = Logins(database)
        self.keys = Keys(database)

    @classmethod
    async def open(cls, url: str) -> Catalog:
        """Open the database at ``url``, which `migrate.upgrade` has made.

        Raises:
            SettingsError: the address is wrong, or the schema is not this program's.
        """
        revision = await asyncio.to_thread(migrate.current, url)
        if revision != migrate.HEAD:
            raise SettingsError(
                f"the database is at revision {revision}, this program needs {migrate.HEAD}: migrate it"
            )
        return cls(Database(url))

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()
