"""What is kept of conversations, so that nobody has to count."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Self

from django.apps import apps
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models, router, transaction
from django.db.models import Count, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from ossn_messaging.conf import conf
from ossn_messaging.models.cached_query import Compiled
from ossn_messaging.signals import message_viewed

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message
    from ossn_messaging.models.querysets import MessageQuerySet

# MariaDB assigns in this order, and each assignment sees what those before it did.
ADVANCE = """
INSERT INTO {table} ({user}, {other}, {position}, {messages}, {unread}, {read_up_to}, {newest}, {active_at})
VALUES (%s, %s, 1, 1, %s, 0, 1, %s), (%s, %s, 1, 1, %s, 0, 1, %s)
{on_conflict}
    {newest} = {table}.{position} + 1,
    {position} = {table}.{position} + 1,
    {messages} = {table}.{messages} + 1,
    {unread} = {table}.{unread} + {new_unread},
    {active_at} = CASE WHEN {table}.{active_at} > {new_active_at} THEN {table}.{active_at} ELSE {new_active_at} END
RETURNING {id}, {position}, {active_at} > %s
"""


def stored_messages(using: str | None = None) -> "MessageQuerySet":
    """Return all messages. Their model is named by a string because it stands above this one."""
    messages: MessageQuerySet = apps.get_model("ossn_messaging.Message").objects.using(using)
    return messages


class Unread(NamedTuple):
    """How many messages a user has not viewed, and in how many conversations."""

    messages: int
    conversations: int


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """To read, the database is asked that is written to: in a copy of it, what was deleted might still be there."""

    def of(self, user: AbstractBaseUser) -> Self:
        """The user's conversations that have messages, with their ``other``; the one with the newest message first."""
        return self._current()._of(user.pk).select_related("other")

    def count_of(self, user: AbstractBaseUser) -> int:
        """Return how many conversations ``of()`` would find."""
        return sum(self._current()._count_of(user.pk))

    def between(self, user: AbstractBaseUser, other: AbstractBaseUser) -> "Conversation":
        """Return the user's side of what there is between them and the other; not saved, where there is nothing."""
        side = self.between_ids(user.pk, other.pk) or self.model()
        side.user, side.other = user, other  # type: ignore[assignment]
        return side

    def between_ids(self, user_id: int, other_id: int) -> "Conversation | None":
        """Return the side of ``user_id`` with its two users, in one query; ``None`` where there is nothing."""
        return next(iter(self._current()._side(user_id, other_id)), None)

    def recent(
        self, user: AbstractBaseUser, number: int = 1, *, size: int | None = None, with_others: bool = True
    ) -> "list[Conversation]":
        """Return a page, counted from 1, of ``of()``, each with its ``newest_message``.

        ``with_others`` may spare the users on the other sides, where their ids are enough.
        """
        return self.recent_of_id(user.pk, number, size=size, with_others=with_others)

    def recent_of_id(
        self, user_id: int, number: int, *, size: int | None = None, with_others: bool
    ) -> "list[Conversation]":
        """Do what ``recent()`` says of a user who need not be known: on the first page each has its ``user``."""
        size = size or conf.PAGE_SIZE
        using, skip = self._current().db, (max(number, 1) - 1) * size
        if skip:  # what belongs to a conversation would be looked up for all that are skipped
            sides = self._current()._of(user_id)
            skipped = sides.values_list("pk", flat=True)[skip : skip + size]
            page = list(sides.filter(pk__in=list(skipped)).select_related("user", "other")._with_newest())
        else:
            page = self._current()._recent(user_id, size=size, with_others=with_others)
        ids = [side.newest_id for side in page if side.newest_id]
        messages = stored_messages(using).with_ids(*ids) if ids else []
        found = {message.pk: message for message in messages}
        for side in page:
            message = found.get(side.newest_id or 0)
            if message is not None and message.is_visible_to(side.user):
                (side.newest_message,) = side.told([message])
            else:  # it was deleted a moment ago
                side.newest_message = next(iter(side.page(size=1)), None)
        return [side for side in page if side.newest_message]

    def unread(self, user: AbstractBaseUser) -> Unread:
        """Count what a user has not viewed."""
        return Unread(*next(iter(self._current()._unread(user.pk)), (0, 0)))

    def mark_read(self, side: "Conversation") -> int:
        """Do what ``Conversation.mark_read`` says; what has come since ``side`` was read stays unread."""
        if not side.unread:
            return 0
        using = router.db_for_write(self.model, instance=side)
        received = stored_messages(using).received(side.user_id, side.other_id)
        with transaction.atomic(using=using):
            held = self.using(using).select_for_update().filter(pk=side.pk).first()
            if held is None:  # one of the two was deleted meanwhile
                return 0
            viewed = received.filter(position__gt=held.read_up_to, position__lte=side.position)
            held.read_up_to = max(held.read_up_to, side.position)
            before, held.unread = held.unread, received.filter(position__gt=held.read_up_to).count()
            held.save(using=using, update_fields=["read_up_to", "unread"])
            if before > held.unread:
                announce = partial(message_viewed.send_robust, sender=self.model, conversation=side, messages=viewed)
                transaction.on_commit(announce, using=using)
        side.read_up_to, side.unread = held.read_up_to, held.unread
        return before - held.unread

    @Compiled
    def _side(self, user_id: int, other_id: int) -> Self:
        return self._with_seen().select_related("user", "other").filter(user_id=user_id, other_id=other_id)

    @Compiled
    def _unread(self, user_id: int) -> "models.QuerySet[Conversation, tuple[int, int]]":
        sides = self.filter(user_id=user_id, unread__gt=0)
        return sides.values("user_id").annotate(Sum("unread"), Count("pk")).values_list("unread__sum", "pk__count")

    @Compiled
    def _recent(self, user_id: int, *, size: int, with_others: bool) -> "models.QuerySet[Conversation]":
        sides = self._of(user_id)._with_newest()
        counted = sides.order_by().values("user_id").annotate(Count("pk")).values("pk__count")
        sides = sides.annotate(of_all=Subquery(counted))  # type: ignore[no-redef]
        return sides.select_related("user", *(["other"] if with_others else []))[:size]

    @Compiled
    def _count_of(self, user_id: int) -> "models.QuerySet[Conversation, int]":
        sides = self._of(user_id).order_by().values("user_id")
        return sides.annotate(Count("pk")).values_list("pk__count", flat=True)

    def _of(self, user_id: int) -> Self:
        return self.filter(user_id=user_id, active_at__isnull=False).order_by("-active_at", "-other_id")

    def _current(self) -> Self:
        current = self.all()
        current._for_write = True  # type: ignore[attr-defined]
        return current

    def _with_seen(self) -> Self:
        mirrored = self.model.objects.filter(user=OuterRef("other"), other=OuterRef("user"))
        return self.annotate(seen_up_to=Subquery(mirrored.values("read_up_to")))

    def _with_newest(self) -> Self:
        pair = OuterRef("user"), OuterRef("other")
        # Of an equal position, PostgreSQL thinks that the index of the other side serves as well, and reads all of it.
        halves = [
            half.filter(position__gte=OuterRef("newest")).order_by("-position").values("pk")[:1]
            for half in (stored_messages().sent(*pair), stored_messages().received(*pair))
        ]
        return self._with_seen().annotate(newest_id=Coalesce(*(Subquery(half) for half in halves)))

    def advance(self, message: "Message") -> tuple[int, datetime]:
        """Count a new message on both of its sides, and hold their rows until the transaction ends.

        Returns the message's position and its time, which is not before that of the message that it follows. One
        statement, which makes the rows where there are none; Django has none that adds to what a row holds.
        """
        connection = connections[self.db]
        at = self.model._meta.get_field("active_at").get_db_prep_save(message.created_at, connection)
        (one, other, _deleted), (_other, _one, _deleted) = message.sides()
        recipient = message.recipient_id
        with connection.cursor() as cursor:
            cursor.execute(
                advance_sql(self.db),
                [one, other, int(one == recipient), at, other, one, int(other == recipient), at, at],
            )
            sides = cursor.fetchall()
        latest = message.created_at
        if any(is_late for _pk, _position, is_late in sides):  # this server's clock is
            held = self.filter(pk__in=[pk for pk, _position, _is_late in sides])
            latest = max(filter(None, held.values_list("active_at", flat=True)))
            held.update(active_at=latest)  # they differ where one side had deleted the newest message
        return max(position for _pk, position, _is_late in sides), latest

    def hold(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Lock both sides of the conversations of these pairs of user ids, in the one order in which all do.

        One by one and by the unique index, as in ``advance()``: MariaDB locks whatever it comes upon on its way.
        """
        for user_id, other_id in sorted({side for one, other in pairs for side in ((one, other), (other, one))}):
            list(self.filter(user_id=user_id, other_id=other_id).select_for_update().values_list("pk"))

    def forget(self, gone: "Mapping[tuple[int, int], Collection[Message]]") -> None:
        """Take messages, under the user and the other for whose side they are gone, out of what is kept of it.

        The sides are held, and the rows of the messages are as they will be.
        """
        users, others = zip(*gone, strict=True) if gone else ((), ())
        for side in self.filter(user_id__in=users, other_id__in=others):
            messages = gone[side.user_id, side.other_id]
            side.messages -= len(messages)
            side.unread -= sum(
                message.recipient_id == side.user_id and message.position > side.read_up_to for message in messages
            )
            newest = next(iter(stored_messages(self.db).of_side(side, below=side.position + 1)), None)
            side.newest, side.active_at = (newest.position, newest.created_at) if newest else (None, None)
            side.save(using=self.db, update_fields=["messages", "unread", "newest", "active_at"])


@cache
def advance_sql(using: str) -> str:
    """Return ``ADVANCE`` in the words of a database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    name = {field.name: quote(str(field.column)) for field in Conversation._meta.concrete_fields}
    if connection.features.supports_update_conflicts_with_target:
        name["on_conflict"] = f"ON CONFLICT ({name['user']}, {name['other']}) DO UPDATE SET"
        new = "EXCLUDED.{}"
    else:  # pragma: no cover, MariaDB alone, on which the suite runs as well
        name["on_conflict"] = "ON DUPLICATE KEY UPDATE"
        new = "VALUES({})"
    name |= {f"new_{field}": new.format(name[field]) for field in ("unread", "active_at")}
    return ADVANCE.format(table=quote(Conversation._meta.db_table), **name)


class Conversation(models.Model):
    """One user's side of the messages between them and another: what of it is kept rather than counted.

    A send touches two rows, one a side; they are also the lock that puts the sends of a conversation in a line.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="ossn_conversations",
        verbose_name=_("user"),
    )
    other = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("other user"),
    )
    position = models.PositiveBigIntegerField(_("position"), default=0, editable=False)
    """That of the newest message that there ever was, the same on both sides."""
    messages = models.PositiveBigIntegerField(_("messages"), default=0)
    """How many messages the user has not deleted."""
    unread = models.PositiveBigIntegerField(_("unread messages"), default=0)
    """How many of those the other sent and the user has not viewed: those with a position above ``read_up_to``."""
    read_up_to = models.PositiveBigIntegerField(_("read up to"), default=0)
    """The position up to which the user has viewed what the other sent."""
    newest = models.PositiveBigIntegerField(_("newest message"), null=True, editable=False)
    """The position of the newest message that the user has not deleted, ``None`` where there are none."""
    active_at = models.DateTimeField(_("active at"), null=True)
    """When that message was sent."""

    seen_up_to: int | None = None
    """The position up to which the other has viewed what the user sent; ``None`` until it is asked for."""
    newest_id: int | None = None
    of_all: int | None = None
    """Of how many conversations of the user this is one, where it was asked for with them."""
    newest_message: "Message | None" = None
    """What ``Conversation.objects.recent()`` has found."""

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "other"], name="ossn_conversation_unique"),
        ]
        indexes = [
            models.Index(fields=["user", "-active_at", "-other"], name="ossn_conversation_recent"),
            models.Index(fields=["user", "unread"], name="ossn_conversation_unread"),
        ]

    def __str__(self) -> str:
        return _("conversation %(id)s") % {"id": self.pk}

    def page(self, number: int = 1, *, before: int | None = None, size: int | None = None) -> "list[Message]":
        """Return a page of the messages that the user has not deleted, newest first.

        ``number`` counts pages from 1; ``before`` is the id of the message that the page comes before, and costs the
        same however far back that is. ``size`` is ``PAGE_SIZE`` where it is not given.
        """
        size = size or conf.PAGE_SIZE
        skip, below = (max(number, 1) - 1) * size, self.position + 1
        if before is None and skip >= self.messages:
            return []
        messages = stored_messages(self._state.db)
        if before is not None:
            skip, below = 0, messages.position_of(before, self)
        elif self.messages == self.position:  # none was ever deleted, so each page is a known range of positions
            skip, below = 0, below - skip
        return self.told(messages.of_side(self, below=below, skip=skip, size=size))

    def unread_page(self, number: int = 1, *, size: int | None = None) -> "list[Message]":
        """Return a page, counted from 1, of those that the other sent and the user has not viewed, newest first."""
        size = size or conf.PAGE_SIZE
        skip = (max(number, 1) - 1) * size
        if skip >= self.unread:
            return []
        return self.told(stored_messages(self._state.db).unread_of_side(self, skip=skip, size=size))

    def mark_read(self) -> int:
        """Mark what the user has received, up to the newest message that this object knows of, as viewed.

        Returns how many messages it marked. ``message_viewed`` follows the commit.
        """
        marked: int = type(self).objects.mark_read(self)
        return marked

    def told(self, messages: "Iterable[Message]") -> "list[Message]":
        """Return the messages with what the two sides tell of whether they are viewed."""
        told = list(messages)
        if self.seen_up_to is None and any(message.sender_id == self.user_id for message in told):
            mirrored = type(self).objects.using(self._state.db).filter(user=self.other_id, other=self.user_id)
            self.seen_up_to = mirrored.values_list("read_up_to", flat=True).first()
        for message in told:
            up_to = self.seen_up_to if message.sender_id == self.user_id else self.read_up_to
            message.is_viewed = message.position <= (up_to or 0)
        return told
