"""The site's users as the protocol names them: by the primary key of the user model."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q

from ossn_messaging.exceptions import BlankUser, ReaderNotFound, UserNotFound
from ossn_messaging.models.cached_query import Compiled

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

MAX_ID = 2**63 - 1
"""No database that Django knows has larger integers."""


def find_pair(sender_id: str, recipient_id: str) -> tuple[AbstractBaseUser, AbstractBaseUser]:
    """Return the active users that ``from`` and ``to`` name, in one query (contract, "Order of checks", 4 and 5).

    Raises ``BlankUser`` and ``UserNotFound``.
    """
    if not (_digits(sender_id) and _digits(recipient_id)):
        raise BlankUser
    sender, recipient = _find(sender_id, recipient_id)
    if not (sender.is_active and recipient.is_active):
        raise UserNotFound
    return sender, recipient


def find_reader(user_id: str, *other_ids: str) -> list[AbstractBaseUser]:
    """Return the active user whose messages are read and the others, who need not be active any more, in one query.

    Raises ``ReaderNotFound``.
    """
    try:
        users = _find(user_id, *other_ids)
    except UserNotFound as error:
        raise ReaderNotFound from error
    check_reader(users[0])
    return users


def check_reader(user: AbstractBaseUser) -> None:
    """Raise ``ReaderNotFound`` where a user may not be read for."""
    if not user.is_active:
        raise ReaderNotFound


def all_are_found() -> bool:
    """Whether the user model's manager finds every user, so that those found by other ways need no second look."""
    return not get_user_model()._default_manager.all().query.where


def is_active(user: "AbstractBaseUser | AnonymousUser") -> bool:
    """Return whether a user, however found, is active and not hidden by the user model's manager."""
    return user.is_active and (all_are_found() or bool(with_ids(get_user_model()._default_manager.all(), user.pk)))


def _digits(user_id: str) -> str:
    return user_id.strip().lstrip("0")


def _find(*user_ids: str) -> list[AbstractBaseUser]:
    """Return the users of these ids, active or not; raises ``UserNotFound`` where there is no such user."""
    numbers = [number for user_id in user_ids if (number := as_number(user_id))]
    if len(numbers) < len(user_ids):
        raise UserNotFound
    found = {user.pk: user for user in with_ids(get_user_model()._default_manager.all(), *numbers)}
    try:
        return [found[number] for number in numbers]
    except KeyError:
        raise UserNotFound from None


@Compiled
def with_ids(users: "models.QuerySet[AbstractBaseUser]", *ids: int) -> "models.QuerySet[AbstractBaseUser]":
    # Not pk__in, which wants numbers where the primary key is the link to a model that the user model extends.
    return users.filter(reduce(or_, (Q(pk=user_id) for user_id in ids)))


def as_number(text: str) -> int | None:
    """Return the number above 0 that a parameter names, ``None`` where it is none or no database has it.

    Surrounding white space and leading zeros are fine (contract, "Users").
    """
    digits = _digits(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)) and int(digits) <= MAX_ID):
        return None
    return int(digits)
