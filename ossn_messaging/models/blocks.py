"""Blocks: if a user has blocked another user, neither can send a message to the other."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, OperationalError, connections, models, router
from django.db.models import OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ossn_messaging.exceptions import SelfBlock, UserNotFound

MAX_BLOCKED_USERS = 1000
"""The maximum number of users that the API returns in one response."""

MAX_ATTEMPTS = 10
DEADLOCK = 1213
"""MariaDB's number of the error."""


class BlockQuerySet(models.QuerySet["Block"]):
    def between(self, user: AbstractBaseUser, other: AbstractBaseUser) -> Self:
        """Return the blocks of both users against each other: none, one or two."""
        return self.filter(Q(user=user.pk, blocked_user=other.pk) | Q(user=other.pk, blocked_user=user.pk))

    def of_one_against(self, user_id: OuterRef, *other_ids: int) -> Self:
        """Return the blocks of the user of an outer query against the users with these ids."""
        others = Q.create([Q(blocked_user_id=other_id) for other_id in other_ids], connector=Q.OR)
        return self.filter(others, user_id=user_id)


def run_despite_deadlocks(statement: Callable[[], object], using: str, attempts: int = MAX_ATTEMPTS) -> None:
    """Run a statement, and run it again if it is the victim of a deadlock.

    MariaDB locks more than the rows of a statement, so statements for one block can deadlock. In a transaction of the
    caller, which the database has rolled back, the error is raised.
    """
    try:
        statement()
    except OperationalError as error:
        if error.args[:1] != (DEADLOCK,) or connections[using].in_atomic_block or attempts == 1:
            raise
        run_despite_deadlocks(statement, using, attempts - 1)


class BlockManager(models.Manager.from_queryset(BlockQuerySet)):  # type: ignore[misc]
    def block(self, user: AbstractBaseUser, other: AbstractBaseUser) -> None:
        """Let ``user`` block ``other``. If ``user`` has already done so, nothing changes.

        From then on, neither can send a message to the other. A send that began before may still succeed. The messages
        that they have sent stay.

        Raises ``SelfBlock`` if both are the same user, and ``UserNotFound`` if one of them was deleted meanwhile.
        """
        if user.pk == other.pk:
            raise SelfBlock
        blocks = self._current()
        has_target = connections[blocks.db].features.supports_update_conflicts_with_target
        # One statement: between two, another request could remove the block that the first has found.
        upsert = partial(
            blocks.bulk_create,
            [self.model(user_id=user.pk, blocked_user_id=other.pk)],
            update_conflicts=True,
            update_fields=["user"],
            unique_fields=["user", "blocked_user"] if has_target else None,
        )
        try:
            run_despite_deadlocks(upsert, blocks.db)
        except IntegrityError as error:
            raise UserNotFound from error

    def unblock(self, user: AbstractBaseUser, other: AbstractBaseUser) -> None:
        """Remove the block of ``user`` against ``other``, if there is one. A block by ``other`` stays."""
        block = self._current().filter(user=user.pk, blocked_user=other.pk)
        run_despite_deadlocks(block.delete, block.db)

    def blocked_by(self, user: AbstractBaseUser) -> "models.QuerySet[AbstractBaseUser]":
        """Return a queryset of the users that ``user`` has blocked, newest block first."""
        users = get_user_model()._default_manager.using(self._current().db)
        return users.filter(ossn_blocked_by__user=user.pk).order_by("-ossn_blocked_by__pk")

    def _current(self) -> Any:
        """Return all blocks in the database for writes, because a replica might still lack a block."""
        return self.using(self._db or router.db_for_write(self.model))


class Block(models.Model):
    """A user has blocked another user. Neither can send a message to the other.

    Create and delete blocks by ``Block.objects.block()`` and ``Block.objects.unblock()``.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="ossn_blocks",
        verbose_name=_("user"),
    )
    blocked_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="ossn_blocked_by",
        verbose_name=_("blocked user"),
    )
    created_at = models.DateTimeField(_("blocked at"), default=timezone.now, editable=False)

    objects = BlockManager()

    class Meta:
        verbose_name = _("block")
        verbose_name_plural = _("blocks")
        default_permissions = ("add", "delete", "view")
        constraints = [
            models.UniqueConstraint(fields=["user", "blocked_user"], name="ossn_block_unique"),
            models.CheckConstraint(
                condition=~Q(user=models.F("blocked_user")),
                name="ossn_block_not_of_oneself",
                violation_error_message=_("Nobody can block themselves."),
            ),
        ]

    def __str__(self) -> str:
        return _("block %(id)s") % {"id": self.pk}
