"""Lookup of the site's users. The protocol identifies users by the primary key of the user model."""

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
"""No database that Django supports has larger integers."""


def get_sender_and_recipient(sender_id: str, recipient_id: str) -> tuple[AbstractBaseUser, AbstractBaseUser]:
    """Return the active users with the ids in the parameters ``from`` and ``to``, in one query.

    Raises ``BlankUser`` if an id is empty or 0, and ``UserNotFound`` if there is no active user with an id.
    """
    if not (_digits(sender_id) and _digits(recipient_id)):
        raise BlankUser
    sender, recipient = _find(sender_id, recipient_id)
    if not (sender.is_active and recipient.is_active):
        raise UserNotFound
    return sender, recipient


def get_reader(user_id: str, *other_ids: str) -> list[AbstractBaseUser]:
    """Return the active user who reads messages, and the other users, active or not, in one query.

    Raises ``ReaderNotFound`` if one of the users does not exist, or if the reader is not active.
    """
    try:
        users = _find(user_id, *other_ids)
    except UserNotFound as error:
        raise ReaderNotFound from error
    check_reader(users[0])
    return users


def check_reader(user: AbstractBaseUser) -> None:
    """Raise ``ReaderNotFound`` if the user is not active."""
    if not user.is_active:
        raise ReaderNotFound


def default_manager_is_unfiltered() -> bool:
    """Return whether the default manager of the user model finds all users.

    If it does, users who were loaded in another way need no second query.
    """
    return not get_user_model()._default_manager.all().query.where


def is_active(user: "AbstractBaseUser | AnonymousUser") -> bool:
    """Return whether a user is active and not hidden by the default manager of the user model."""
    return user.is_active and (
        default_manager_is_unfiltered() or bool(with_ids(get_user_model()._default_manager.all(), user.pk))
    )


def _digits(user_id: str) -> str:
    return user_id.strip().lstrip("0")


def _find(*user_ids: str) -> list[AbstractBaseUser]:
    """Return the users with these ids, active or not, in the same order.

    Raises ``UserNotFound`` if one of them does not exist.
    """
    numbers = [number for user_id in user_ids if (number := parse_id(user_id))]
    if len(numbers) < len(user_ids):
        raise UserNotFound
    found = {user.pk: user for user in with_ids(get_user_model()._default_manager.all(), *numbers)}
    try:
        return [found[number] for number in numbers]
    except KeyError:
        raise UserNotFound from None


@Compiled
def with_ids(users: "models.QuerySet[AbstractBaseUser]", *ids: int) -> "models.QuerySet[AbstractBaseUser]":
    # If the primary key is a link to a parent model, pk__in accepts only numbers and not the placeholders of Compiled.
    return users.filter(reduce(or_, (Q(pk=user_id) for user_id in ids)))


def parse_id(text: str) -> int | None:
    """Return the positive integer in a parameter, or ``None`` if it is not one or is larger than ``MAX_ID``.

    Surrounding white space and leading zeros are allowed.
    """
    digits = _digits(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)) and int(digits) <= MAX_ID):
        return None
    return int(digits)
