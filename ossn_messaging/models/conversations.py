"""Conversations: one row per user with stored counters, so that no request has to count messages."""

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
from ossn_messaging.signals import message_read

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message
    from ossn_messaging.models.querysets import MessageQuerySet

# MariaDB runs the assignments in this order, and each one sees the new values of those before it.
ADVANCE = """
INSERT INTO {table} ({user}, {other}, {position}, {messages}, {unread}, {last_read_sequence}, {newest}, {last_message_at})
VALUES (%s, %s, 1, 1, %s, 0, 1, %s), (%s, %s, 1, 1, %s, 0, 1, %s)
{on_conflict}
    {newest} = {table}.{position} + 1,
    {position} = {table}.{position} + 1,
    {messages} = {table}.{messages} + 1,
    {unread} = {table}.{unread} + {new_unread},
    {last_message_at} = CASE WHEN {table}.{last_message_at} > {new_active_at} THEN {table}.{last_message_at} ELSE {new_active_at} END
RETURNING {id}, {position}, {last_message_at} > %s
"""


def stored_messages(using: str | None = None) -> "MessageQuerySet":
    """Return all messages. The model is named by a string because its module imports this one."""
    messages: MessageQuerySet = apps.get_model("ossn_messaging.Message").objects.using(using)
    return messages


class Unread(NamedTuple):
    """The number of messages that a user has not read, and the number of conversations that have such messages."""

    messages: int
    conversations: int


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Conversations. Reads use the database for writes, because a replica might still have deleted messages."""

    def of(self, user: AbstractBaseUser) -> Self:
        """Return the user's conversations that have messages, the most recent first, each with its ``other``."""
        return self._current()._of(user.pk).select_related("other")

    def count_for_user(self, user: AbstractBaseUser) -> int:
        """Return the number of conversations that ``of()`` finds."""
        return sum(self._current()._count_of(user.pk))

    def between(self, user: AbstractBaseUser, other: AbstractBaseUser) -> "Conversation":
        """Return the conversation of ``user`` with ``other``. If there is none, return an unsaved one."""
        side = self.between_ids(user.pk, other.pk) or self.model()
        side.user, side.other = user, other  # type: ignore[assignment]
        return side

    def between_ids(self, user_id: int, other_id: int) -> "Conversation | None":
        """Return the conversation of ``user_id`` with ``other_id`` and both users, in one query, or ``None``."""
        return next(iter(self._current()._side(user_id, other_id)), None)

    def recent(
        self, user: AbstractBaseUser, number: int = 1, *, size: int | None = None, with_others: bool = True
    ) -> "list[Conversation]":
        """Return a page of ``of()``, each conversation with its ``newest_message``.

        ``number`` counts pages from 1. ``size`` is ``PAGE_SIZE`` by default. If you need only the ids of the other
        users, ``with_others=False`` saves the time to load these users.
        """
        return self.recent_for_id(user.pk, number, size=size, with_others=with_others)

    def recent_for_id(
        self, user_id: int, number: int, *, size: int | None = None, with_others: bool
    ) -> "list[Conversation]":
        """Return what ``recent()`` returns, for the id of a user. Each conversation has its ``user``."""
        size = size or conf.PAGE_SIZE
        using, skip = self._current().db, (max(number, 1) - 1) * size
        if skip:  # otherwise the subqueries would run for the skipped conversations, too
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
            else:  # it was deleted after the first query
                side.newest_message = next(iter(side.page(size=1)), None)
        return [side for side in page if side.newest_message]

    def unread(self, user: AbstractBaseUser) -> Unread:
        """Return how many messages the user has not read, and in how many conversations."""
        return Unread(*next(iter(self._current()._unread(user.pk)), (0, 0)))

    def mark_read(self, side: "Conversation") -> int:
        """Mark messages as read as ``Conversation.mark_read()`` describes, and return their number.

        Messages that arrived after ``side`` was loaded stay unread.
        """
        if not side.unread:
            return 0
        using = router.db_for_write(self.model, instance=side)
        received = stored_messages(using).received(side.user_id, side.other_id)
        with transaction.atomic(using=using):
            held = self.using(using).select_for_update().filter(pk=side.pk).first()
            if held is None:  # one of the two users was deleted meanwhile
                return 0
            viewed = received.filter(position__gt=held.last_read_sequence, position__lte=side.position)
            held.last_read_sequence = max(held.last_read_sequence, side.position)
            before, held.unread = held.unread, received.filter(position__gt=held.last_read_sequence).count()
            held.save(using=using, update_fields=["last_read_sequence", "unread"])
            if before > held.unread:
                announce = partial(message_read.send_robust, sender=self.model, conversation=side, messages=viewed)
                transaction.on_commit(announce, using=using)
        side.last_read_sequence, side.unread = held.last_read_sequence, held.unread
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
        sides = sides.annotate(total_count=Subquery(counted))  # type: ignore[no-redef]
        return sides.select_related("user", *(["other"] if with_others else []))[:size]

    @Compiled
    def _count_of(self, user_id: int) -> "models.QuerySet[Conversation, int]":
        sides = self._of(user_id).order_by().values("user_id")
        return sides.annotate(Count("pk")).values_list("pk__count", flat=True)

    def _of(self, user_id: int) -> Self:
        return self.filter(user_id=user_id, last_message_at__isnull=False).order_by("-last_message_at", "-other_id")

    def _current(self) -> Self:
        current = self.all()
        current._for_write = True  # type: ignore[attr-defined]
        return current

    def _with_seen(self) -> Self:
        mirrored = self.model.objects.filter(user=OuterRef("other"), other=OuterRef("user"))
        return self.annotate(peer_last_read_sequence=Subquery(mirrored.values("last_read_sequence")))

    def _with_newest(self) -> Self:
        pair = OuterRef("user"), OuterRef("other")
        # With "=", PostgreSQL picks the wrong index and reads all of it; ">=" avoids that.
        halves = [
            half.filter(position__gte=OuterRef("newest")).order_by("-position").values("pk")[:1]
            for half in (stored_messages().sent(*pair), stored_messages().received(*pair))
        ]
        return self._with_seen().annotate(newest_id=Coalesce(*(Subquery(half) for half in halves)))

    def advance(self, message: "Message") -> tuple[int, datetime]:
        """Record a new message in the conversations of both users, and return its position and its time.

        The time is not before that of the previous message. Both rows stay locked until the transaction ends. One SQL
        statement creates or updates both rows, because Django's upsert can't add to a stored value.
        """
        connection = connections[self.db]
        at = self.model._meta.get_field("last_message_at").get_db_prep_save(message.created_at, connection)
        (one, other, _deleted), (_other, _one, _deleted) = message.sides()
        recipient = message.recipient_id
        with connection.cursor() as cursor:
            cursor.execute(
                advance_sql(self.db),
                [one, other, int(one == recipient), at, other, one, int(other == recipient), at, at],
            )
            sides = cursor.fetchall()
        latest = message.created_at
        if any(is_late for _pk, _position, is_late in sides):  # the clock of this server is behind
            held = self.filter(pk__in=[pk for pk, _position, _is_late in sides])
            latest = max(filter(None, held.values_list("last_message_at", flat=True)))
            held.update(last_message_at=latest)  # they differ if one user had deleted the newest message
        return max(position for _pk, position, _is_late in sides), latest

    def hold(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Lock the conversations of both users of each pair of user ids, in the global order, to avoid deadlocks.

        One query per row uses the unique index, as ``advance()`` does, because MariaDB locks every row that it scans.
        """
        for user_id, other_id in sorted({side for one, other in pairs for side in ((one, other), (other, one))}):
            list(self.filter(user_id=user_id, other_id=other_id).select_for_update().values_list("pk"))

    def forget(self, gone: "Mapping[tuple[int, int], Collection[Message]]") -> None:
        """Subtract messages from the counters of the conversations of users who no longer see them.

        ``gone`` has the messages by the id of that user and the id of the other user. The caller has locked these
        conversations with ``hold()``, and has already changed or deleted the rows of the messages.
        """
        users, others = zip(*gone, strict=True) if gone else ((), ())
        for side in self.filter(user_id__in=users, other_id__in=others):
            messages = gone[side.user_id, side.other_id]
            side.messages -= len(messages)
            side.unread -= sum(
                message.recipient_id == side.user_id and message.position > side.last_read_sequence
                for message in messages
            )
            newest = next(iter(stored_messages(self.db).of_side(side, below=side.position + 1)), None)
            side.newest, side.last_message_at = (newest.position, newest.created_at) if newest else (None, None)
            side.save(using=self.db, update_fields=["messages", "unread", "newest", "last_message_at"])


@cache
def advance_sql(using: str) -> str:
    """Return ``ADVANCE`` in the SQL dialect of a database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    name = {field.name: quote(str(field.column)) for field in Conversation._meta.concrete_fields}
    if connection.features.supports_update_conflicts_with_target:
        name["on_conflict"] = f"ON CONFLICT ({name['user']}, {name['other']}) DO UPDATE SET"
        new = "EXCLUDED.{}"
    else:  # pragma: no cover, only MariaDB; the test suite runs on MariaDB, too
        name["on_conflict"] = "ON DUPLICATE KEY UPDATE"
        new = "VALUES({})"
    name |= {f"new_{field}": new.format(name[field]) for field in ("unread", "last_message_at")}
    return ADVANCE.format(table=quote(Conversation._meta.db_table), **name)


class Conversation(models.Model):
    """One user's view of the messages with another user, with stored counters.

    A send updates two rows, one for each user. The locks on these rows also serialize the sends of a conversation.
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
    """The position of the newest message that was ever sent, the same for both users."""
    messages = models.PositiveBigIntegerField(_("messages"), default=0)
    """The number of messages that the user has not deleted."""
    unread = models.PositiveBigIntegerField(_("unread messages"), default=0)
    """The number of these messages that the other user sent and that have a position above ``last_read_sequence``."""
    last_read_sequence = models.PositiveBigIntegerField(_("read up to"), default=0)
    """The position up to which the user has read the messages of the other user."""
    newest = models.PositiveBigIntegerField(_("newest message"), null=True, editable=False)
    """The position of the newest message that the user has not deleted, ``None`` if there are none."""
    last_message_at = models.DateTimeField(_("active at"), null=True)
    """The time at which the message at the position ``newest`` was sent, ``None`` if there is none."""

    peer_last_read_sequence: int | None = None
    """The position up to which the other user has read the messages of the user; ``None`` if it is not loaded."""
    newest_id: int | None = None
    total_count: int | None = None
    """The total number of the user's conversations; only on the first page of ``recent()``, ``None`` elsewhere."""
    newest_message: "Message | None" = None
    """The newest message that the user has not deleted; only on conversations of ``Conversation.objects.recent()``."""

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "other"], name="ossn_conversation_unique"),
        ]
        indexes = [
            models.Index(fields=["user", "-last_message_at", "-other"], name="ossn_conversation_recent"),
            models.Index(fields=["user", "unread"], name="ossn_conversation_unread"),
        ]

    def __str__(self) -> str:
        return _("conversation %(id)s") % {"id": self.pk}

    def page(self, number: int = 1, *, before: int | None = None, size: int | None = None) -> "list[Message]":
        """Return a page of the messages that the user has not deleted, newest first.

        ``number`` counts pages from 1. If ``before`` is the id of a message, the page has the messages before that
        message and ``number`` is ignored; this is equally fast for old and new messages. ``size`` is ``PAGE_SIZE`` by
        default.
        """
        size = size or conf.PAGE_SIZE
        skip, below = (max(number, 1) - 1) * size, self.position + 1
        if before is None and skip >= self.messages:
            return []
        messages = stored_messages(self._state.db)
        if before is not None:
            skip, below = 0, messages.position_of(before, self)
        elif self.messages == self.position:  # nothing was ever deleted, so each page is a known range of positions
            skip, below = 0, below - skip
        return self.told(messages.of_side(self, below=below, skip=skip, size=size))

    def unread_page(self, number: int = 1, *, size: int | None = None) -> "list[Message]":
        """Return a page of the messages that the user has received and not read, newest first.

        ``number`` counts pages from 1. ``size`` is ``PAGE_SIZE`` by default.
        """
        size = size or conf.PAGE_SIZE
        skip = (max(number, 1) - 1) * size
        if skip >= self.unread:
            return []
        return self.told(stored_messages(self._state.db).unread_of_side(self, skip=skip, size=size))

    def mark_read(self) -> int:
        """Mark the messages that the user has received as read, and return the number of messages that it marked.

        Messages that arrived after this object was loaded stay unread. If any message was marked, the signal
        ``message_read`` is sent after the commit.
        """
        marked: int = type(self).objects.mark_read(self)
        return marked

    def told(self, messages: "Iterable[Message]") -> "list[Message]":
        """Set ``is_read`` on the messages, and return them as a list."""
        told = list(messages)
        if self.peer_last_read_sequence is None and any(message.sender_id == self.user_id for message in told):
            mirrored = type(self).objects.using(self._state.db).filter(user=self.other_id, other=self.user_id)
            self.peer_last_read_sequence = mirrored.values_list("last_read_sequence", flat=True).first()
        for message in told:
            up_to = self.peer_last_read_sequence if message.sender_id == self.user_id else self.last_read_sequence
            message.is_read = message.position <= (up_to or 0)
        return told
