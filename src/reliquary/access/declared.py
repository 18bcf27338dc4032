"""What the settings file declares of accounts: shown as such, and not editable elsewhere."""

from __future__ import annotations

from reliquary.errors import Conflict
from reliquary.settings import Settings


def user(settings: Settings, name: str) -> bool:
    """Whether the settings declare this user."""
    return any(each.name == name for each in settings.users)


def grants(settings: Settings, name: str) -> bool:
    """Whether the settings declare grants of this user; then they declare all of them."""
    return any(each.user == name for each in settings.grants)


def refuse_user(settings: Settings, name: str) -> None:
    """Raises Conflict for a user that the settings declare."""
    if user(settings, name):
        raise Conflict(f"the user {name} is declared in the settings; change it there", code="declared")


def refuse_grants(settings: Settings, name: str) -> None:
    """Raises Conflict for a user whose grants the settings declare."""
    if grants(settings, name):
        raise Conflict(f"the grants of {name} are declared in the settings; change them there", code="declared")
