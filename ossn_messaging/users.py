"""The site's users as the protocol names them: by the primary key of the user model."""

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser

from ossn_messaging.exceptions import BlankUser, UserNotFound

MAX_ID = 2**63 - 1
"""No database that Django knows has larger integers."""


def find_pair(sender_id: str, recipient_id: str) -> tuple[AbstractBaseUser, AbstractBaseUser]:
    """Return the active users that ``from`` and ``to`` name, in one query (contract, "Order of checks", 4 and 5).

    Raises ``BlankUser`` and ``UserNotFound``.
    """
    ids = [value.strip().lstrip("0") for value in (sender_id, recipient_id)]
    if not all(ids):
        raise BlankUser
    if not all(value.isascii() and value.isdigit() and len(value) <= len(str(MAX_ID)) for value in ids):
        raise UserNotFound
    pair = [int(value) for value in ids]
    if max(pair) > MAX_ID:
        raise UserNotFound
    users = {user.pk: user for user in get_user_model()._default_manager.filter(pk__in=pair) if user.is_active}
    try:
        return users[pair[0]], users[pair[1]]
    except KeyError:
        raise UserNotFound from None
