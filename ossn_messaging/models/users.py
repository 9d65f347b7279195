"""Lookup of the site's users. The protocol identifies users by the primary key of the user model."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Exists, OuterRef, Q

from ossn_messaging.exceptions import BlankUser, ReaderNotFound, UserNotFound
from ossn_messaging.models.blocks import Block
from ossn_messaging.models.cached_query import cached_query, is_filtered

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

MAX_ID = 2**63 - 1
"""No database that Django supports has larger integers."""


def get_sender_and_recipient(sender_id: str, recipient_id: str) -> tuple[AbstractBaseUser, AbstractBaseUser, bool]:
    """Return the active users with the ids in ``from`` and ``to``, and whether one has blocked the other.

    One query finds all of it.

    Raises ``BlankUser`` if an id is empty or 0, and ``UserNotFound`` if there is no active user with an id.
    """
    if is_blank(sender_id) or is_blank(recipient_id):
        raise BlankUser
    sender, recipient = _find(sender_id, recipient_id, find=with_ids_and_blocks)
    if not (sender.is_active and recipient.is_active):
        raise UserNotFound
    return sender, recipient, any(user.ossn_has_blocked for user in (sender, recipient))  # type: ignore[attr-defined]


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
    return not is_filtered(get_user_model()._default_manager.all())


def is_active(user: "AbstractBaseUser | AnonymousUser") -> bool:
    """Return whether a user is active and not hidden by the default manager of the user model."""
    return user.is_active and (
        default_manager_is_unfiltered() or bool(with_ids(get_user_model()._default_manager.all(), user.pk))
    )


def is_blank(user_id: str) -> bool:
    """Return whether a parameter with the id of a user is empty, white space or 0."""
    return not _digits(user_id)


def _digits(user_id: str) -> str:
    return user_id.strip().lstrip("0")


@cached_query()
def with_ids(users: "models.QuerySet[AbstractBaseUser]", *ids: int) -> "models.QuerySet[AbstractBaseUser]":
    return users.filter(_have_ids(ids))


@cached_query(annotations=("ossn_has_blocked",))
def with_ids_and_blocks(users: "models.QuerySet[AbstractBaseUser]", *ids: int) -> "models.QuerySet[AbstractBaseUser]":
    """Return the users with these ids, each with ``ossn_has_blocked``: whether they have blocked one of the others."""
    blocks = Block.objects.of_one_against(OuterRef("pk"), *ids)
    return users.filter(_have_ids(ids)).annotate(ossn_has_blocked=Exists(blocks))


def _have_ids(ids: tuple[int, ...]) -> Q:
    # If the primary key is a link to a parent model, pk__in accepts only numbers, and no placeholders.
    return reduce(or_, (Q(pk=user_id) for user_id in ids))


def _find(*user_ids: str, find: "Callable[..., list[AbstractBaseUser]]" = with_ids) -> list[AbstractBaseUser]:
    """Return the users with these ids, active or not, in the same order.

    Raises ``UserNotFound`` if one of them does not exist.
    """
    numbers = [number for user_id in user_ids if (number := parse_id(user_id))]
    if len(numbers) < len(user_ids):
        raise UserNotFound
    found = {user.pk: user for user in find(get_user_model()._default_manager.all(), *numbers)}
    try:
        return [found[number] for number in numbers]
    except KeyError:
        raise UserNotFound from None


def parse_id(text: str) -> int | None:
    """Return the positive integer in a parameter, or ``None`` if it is not one or is larger than ``MAX_ID``.

    Surrounding white space and leading zeros are allowed.
    """
    digits = _digits(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)) and int(digits) <= MAX_ID):
        return None
    return int(digits)
