"""Conversations: one row per user with stored counters, so that no request has to count messages."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Self

from django.apps import apps
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models, router, transaction
from django.db.models import Count, Exists, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import NotAllowed
from ossn_messaging.models.blocks import Block
from ossn_messaging.models.cached_query import cached_query, cached_rows
from ossn_messaging.signals import message_read

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message
    from ossn_messaging.models.querysets import MessageQuerySet

MAX_UNREAD_MESSAGES = 1000
"""The maximum number of messages that ``Conversation.unread_messages()`` returns."""

# MariaDB runs the assignments in this order, and each one sees the new values of those before it.
RECORD_MESSAGE = """
INSERT INTO {table} (
    {user}, {other_user}, {sequence}, {message_count}, {unread_count}, {last_read_sequence}, {last_sequence},
    {last_message_at}, {first_unnumbered_sequence}, {has_unnumbered_read}
)
VALUES (%s, %s, 1, 1, %s, 0, 1, %s, 1, FALSE), (%s, %s, 1, 1, %s, 0, 1, %s, 1, FALSE)
{on_conflict}
    {first_unnumbered_sequence} = COALESCE({table}.{first_unnumbered_sequence}, {table}.{sequence} + 1),
    {last_sequence} = {table}.{sequence} + 1,
    {sequence} = {table}.{sequence} + 1,
    {message_count} = {table}.{message_count} + 1,
    {unread_count} = {table}.{unread_count} + {new_unread_count},
    {last_message_at} = CASE
        WHEN {table}.{last_message_at} > {new_last_message_at} THEN {table}.{last_message_at}
        ELSE {new_last_message_at}
    END
RETURNING {id}, {sequence}, {last_message_at} > %s, EXISTS (
    SELECT 1 FROM {blocks}
    WHERE {blocks}.{blocks_user} = {table}.{user} AND {blocks}.{blocks_blocked_user} = {table}.{other_user}
)
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

    def for_user(self, user: AbstractBaseUser) -> Self:
        """Return the user's conversations that have messages, the most recent first, each with its ``other_user``."""
        return self._current()._for_user(user.pk).select_related("other_user")

    def count_for_user(self, user: AbstractBaseUser) -> int:
        """Return the number of conversations that ``for_user()`` finds."""
        return sum(count for (count,) in self._current()._count_for_user(user.pk))

    def between(self, user: AbstractBaseUser, other: AbstractBaseUser) -> "Conversation":
        """Return the conversation of ``user`` with ``other``. If there is none, return an unsaved one."""
        conversation = self.between_ids(user.pk, other.pk) or self.model()
        conversation.user, conversation.other_user = user, other  # type: ignore[assignment]
        return conversation

    def between_ids(self, user_id: int, other_id: int) -> "Conversation | None":
        """Return the conversation of ``user_id`` with ``other_id`` and both users, in one query, or ``None``."""
        return next(iter(self._current()._between(user_id, other_id)), None)

    def recent(
        self, user: AbstractBaseUser, number: int = 1, *, size: int | None = None, with_others: bool = True
    ) -> "list[Conversation]":
        """Return a page of ``for_user()``, each conversation with its ``newest_message``.

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
            conversations = self._current()._for_user(user_id)
            skipped = conversations.values_list("pk", flat=True)[skip : skip + size]
            page = list(conversations.filter(pk__in=list(skipped)).select_related("user", "other_user")._with_newest())
        else:
            find_page = self._current()._recent_with_others if with_others else self._current()._recent
            page = find_page(user_id, size=size)
        ids = [conversation.newest_message_id for conversation in page if conversation.newest_message_id]
        messages = stored_messages(using).with_ids(*ids) if ids else []
        found = {message.pk: message for message in messages}
        for conversation in page:
            message = found.get(conversation.newest_message_id or 0)
            if message is not None and message.is_visible_to(conversation.user):
                (conversation.newest_message,) = conversation.annotate_read([message])
            else:  # it was deleted after the first query
                conversation.newest_message = next(iter(conversation.page(size=1)), None)
        page = [conversation for conversation in page if conversation.newest_message]
        self.using(using)._annotate_answered(page)
        return page

    def _annotate_answered(self, page: "list[Conversation]") -> None:
        """Set ``is_answered``. Only messages that the user has deleted can be later than ``newest_message``."""
        later = {
            conversation.pk: conversation
            for conversation in page
            if conversation.newest_message and conversation.newest_message.sequence < conversation.sequence
        }
        if not later:
            return
        user, other = OuterRef("user"), OuterRef("other_user")
        messages = stored_messages(self.db).filter(sequence__gt=OuterRef("last_sequence"), deleted_at=None)
        sent = messages.filter(sender=user, recipient=other, deleted_by_sender=Value(True))
        received = messages.filter(recipient=user, sender=other, deleted_by_recipient=Value(True))
        for pk, has_sent, has_received in self.filter(pk__in=later).values_list("pk", Exists(sent), Exists(received)):
            newest = later[pk].newest_message
            later[pk].is_answered = has_received if newest and newest.sender_id == later[pk].user_id else has_sent

    def unread(self, user: AbstractBaseUser) -> Unread:
        """Return how many messages the user has not read, and in how many conversations."""
        return Unread(*next(iter(self._current()._unread(user.pk)), (0, 0)))

    def mark_read(self, conversation: "Conversation", last: "Message | None" = None) -> int:
        """Mark messages as read as ``Conversation.mark_read()`` describes, and return their number."""
        last_sequence = last.sequence if last else conversation.sequence
        if not conversation.unread_count:
            return 0
        using = router.db_for_write(self.model, instance=conversation)
        received = stored_messages(using).received(conversation.user_id, conversation.other_user_id)
        with transaction.atomic(using=using):
            locked = self.using(using).select_for_update().filter(pk=conversation.pk).first()
            if locked is None:  # one of the two users was deleted meanwhile
                return 0
            unread = received.filter(sequence__gt=locked.last_read_sequence, sequence__lte=last_sequence)
            if last_sequence > locked.last_read_sequence:
                locked.last_read_sequence, locked.has_unnumbered_read = last_sequence, True
            before = locked.unread_count
            locked.unread_count = received.filter(sequence__gt=locked.last_read_sequence).count()
            locked.save(using=using, update_fields=["last_read_sequence", "unread_count", "has_unnumbered_read"])
            if before > locked.unread_count:
                read = {"conversation": conversation, "messages": unread}
                transaction.on_commit(partial(message_read.send_robust, sender=self.model, **read), using=using)
        conversation.last_read_sequence, conversation.unread_count = locked.last_read_sequence, locked.unread_count
        return before - locked.unread_count

    @cached_query(related=("user", "other_user"), annotations=("peer_last_read_sequence",))
    def _between(self, user_id: int, other_id: int) -> Self:
        return self.filter(user_id=user_id, other_user_id=other_id)._with_peer_read()

    @cached_rows
    def _unread(self, user_id: int) -> "models.QuerySet[Conversation, tuple[int, int]]":
        totals = self.filter(user_id=user_id, unread_count__gt=0).values("user_id")
        return totals.annotate(Sum("unread_count"), Count("pk")).values_list("unread_count__sum", "pk__count")

    def _build_recent(self, user_id: int, *, size: int) -> "models.QuerySet[Conversation]":
        conversations = self._for_user(user_id)._with_newest()
        counted = conversations.order_by().values("user_id").annotate(Count("pk")).values("pk__count")
        return conversations.annotate(total_count=Subquery(counted))[:size]  # type: ignore[no-redef]

    _recent_annotations = ("peer_last_read_sequence", "newest_message_id", "total_count")
    _recent = cached_query(related=("user",), annotations=_recent_annotations)(_build_recent)
    _recent_with_others = cached_query(related=("user", "other_user"), annotations=_recent_annotations)(_build_recent)

    @cached_rows
    def _count_for_user(self, user_id: int) -> "models.QuerySet[Conversation, tuple[int]]":
        conversations = self._for_user(user_id).order_by().values("user_id")
        return conversations.annotate(Count("pk")).values_list("pk__count")

    def _for_user(self, user_id: int) -> Self:
        conversations = self.filter(user_id=user_id, last_message_at__isnull=False)
        return conversations.order_by("-last_message_at", "-other_user_id")

    def _current(self) -> Self:
        current = self.all()
        current._for_write = True  # type: ignore[attr-defined]
        return current

    def with_peer_read(self, user_id: int, *other_ids: int) -> Self:
        """Return the user's conversations with other users, each with ``peer_last_read_sequence``."""
        return self.filter(user_id=user_id, other_user_id__in=other_ids)._with_peer_read()

    def _with_peer_read(self) -> Self:
        mirrored = self.model.objects.filter(user=OuterRef("other_user"), other_user=OuterRef("user"))
        return self.annotate(peer_last_read_sequence=Subquery(mirrored.values("last_read_sequence")))

    def _with_newest(self) -> Self:
        pair = OuterRef("user"), OuterRef("other_user")
        # With "=", PostgreSQL picks the wrong index and reads all of it; ">=" avoids that.
        halves = [
            half.filter(sequence__gte=OuterRef("last_sequence")).order_by("-sequence").values("pk")[:1]
            for half in (stored_messages().sent(*pair), stored_messages().received(*pair))
        ]
        return self._with_peer_read().annotate(newest_message_id=Coalesce(*(Subquery(half) for half in halves)))

    def record_message(self, message: "Message") -> tuple[int, datetime]:
        """Count a new message in the conversations of both users, and return its sequence number and its time.

        The time is not before that of the previous message. Both rows stay locked until the transaction ends. One SQL
        statement creates or updates both rows, because Django's upsert can't add to a stored value. The same statement
        looks for blocks.

        Raises ``NotAllowed`` if one of the users has blocked the other; the caller then rolls back.
        """
        connection = connections[self.db]
        at = self.model._meta.get_field("last_message_at").get_db_prep_save(message.created_at, connection)
        (one, other, _deleted), (_other, _one, _deleted) = message.participants()
        recipient = message.recipient_id
        with connection.cursor() as cursor:
            cursor.execute(
                record_message_sql(self.db),
                [one, other, int(one == recipient), at, other, one, int(other == recipient), at, at],
            )
            recorded = cursor.fetchall()
        if any(is_blocked for *_others, is_blocked in recorded):
            raise NotAllowed
        latest = message.created_at
        if any(is_late for _pk, _sequence, is_late, _is_blocked in recorded):  # the clock of this server is behind
            locked = self.filter(pk__in=[pk for pk, *_others in recorded])
            latest = max(filter(None, locked.values_list("last_message_at", flat=True)))
            locked.update(last_message_at=latest)  # they differ if one user had deleted the newest message
        return max(sequence for _pk, sequence, *_others in recorded), latest

    def lock(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Lock the conversations of both users of each pair of user ids, in the global order, to avoid deadlocks.

        One query per row uses the unique index, as ``record_message()`` does: MariaDB locks every row that it scans.
        """
        for user_id, other_id in sorted({key for one, other in pairs for key in ((one, other), (other, one))}):
            list(self.filter(user_id=user_id, other_user_id=other_id).select_for_update().values_list("pk"))

    def decrement_counters(self, gone: "Mapping[tuple[int, int], Collection[Message]]") -> None:
        """Subtract messages from the counters of the conversations of users who no longer see them.

        ``gone`` has the messages by the id of that user and the id of the other user. The caller has locked these
        conversations with ``lock()``, and has already changed or deleted the rows of the messages.
        """
        users, others = zip(*gone, strict=True) if gone else ((), ())
        for conversation in self.filter(user_id__in=users, other_user_id__in=others):
            messages = gone[conversation.user_id, conversation.other_user_id]
            conversation.message_count -= len(messages)
            conversation.unread_count -= sum(
                message.recipient_id == conversation.user_id and message.sequence > conversation.last_read_sequence
                for message in messages
            )
            visible = stored_messages(self.db).in_conversation(conversation, below=conversation.sequence + 1)
            conversation.last_sequence = visible[0].sequence if visible else None
            conversation.last_message_at = visible[0].created_at if visible else None
            counters = ["message_count", "unread_count", "last_sequence", "last_message_at"]
            conversation.save(using=self.db, update_fields=counters)


@cache
def record_message_sql(using: str) -> str:
    """Return ``RECORD_MESSAGE`` in the SQL dialect of a database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    name = {field.name: quote(str(field.column)) for field in Conversation._meta.concrete_fields}
    if connection.features.supports_update_conflicts_with_target:
        name["on_conflict"] = f"ON CONFLICT ({name['user']}, {name['other_user']}) DO UPDATE SET"
        new = "EXCLUDED.{}"
    else:  # pragma: no cover, only MariaDB; the test suite runs on MariaDB, too
        name["on_conflict"] = "ON DUPLICATE KEY UPDATE"
        new = "VALUES({})"
    name |= {f"new_{field}": new.format(name[field]) for field in ("unread_count", "last_message_at")}
    name["blocks"] = quote(Block._meta.db_table)
    name |= {f"blocks_{field.name}": quote(str(field.column)) for field in Block._meta.concrete_fields}
    return RECORD_MESSAGE.format(table=quote(Conversation._meta.db_table), **name)


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
    other_user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_index=False,
        related_name="+",
        verbose_name=_("other user"),
    )
    sequence = models.PositiveBigIntegerField(_("sequence number"), default=0, editable=False)
    """The sequence number of the newest message that was ever sent, the same for both users."""
    message_count = models.PositiveBigIntegerField(_("number of messages"), default=0)
    """The number of messages that the user has not deleted."""
    unread_count = models.PositiveBigIntegerField(_("number of unread messages"), default=0)
    """The number of these messages that the user received and has not read."""
    last_read_sequence = models.PositiveBigIntegerField(_("last read sequence number"), default=0)
    """The user has read the messages of the other user up to this sequence number."""
    last_sequence = models.PositiveBigIntegerField(_("last sequence number"), null=True, editable=False)
    """The sequence number of the newest message that the user has not deleted, ``None`` if there are none."""
    last_message_at = models.DateTimeField(_("time of the last message"), null=True)
    """The time of the message with the number ``last_sequence``, ``None`` if there is none."""

    first_unnumbered_sequence = models.PositiveBigIntegerField(
        _("first sequence number without an update"), default=1, null=True, editable=False
    )
    """The messages from this sequence number on have no number in the updates of the user yet. ``None``: all have."""
    has_unnumbered_read = models.BooleanField(_("read without an update"), default=False, editable=False)
    """Whether ``last_read_sequence`` has no number in the updates of the other user yet."""

    peer_last_read_sequence: int | None = None
    """The other user has read the user's messages up to this sequence number; ``None`` if it is not loaded."""
    newest_message_id: int | None = None
    total_count: int | None = None
    """The total number of the user's conversations; only on the first page of ``recent()``, ``None`` elsewhere."""
    is_answered = False
    """Whether the recipient of ``newest_message`` has replied to it with messages that the user has deleted."""
    newest_message: "Message | None" = None
    """The newest message that the user has not deleted; only on conversations of ``Conversation.objects.recent()``."""

    objects = ConversationQuerySet.as_manager()

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "other_user"], name="ossn_conversation_unique"),
        ]
        indexes = [
            models.Index(fields=["user", "-last_message_at", "-other_user"], name="ossn_conversation_recent"),
            models.Index(fields=["user", "unread_count"], name="ossn_conversation_unread"),
            # For the updates of the user, and of the other user.
            models.Index(fields=["user", "first_unnumbered_sequence"], name="ossn_conversation_new"),
            models.Index(fields=["other_user", "has_unnumbered_read"], name="ossn_conversation_read"),
        ]

    def __str__(self) -> str:
        return _("conversation %(id)s") % {"id": self.pk}

    def page(
        self, number: int = 1, *, before: int | None = None, after: int | None = None, size: int | None = None
    ) -> "list[Message]":
        """Return a page of the messages that the user has not deleted, newest first.

        ``number`` counts pages from 1. If ``before`` or ``after`` is the id of a message, the page has the messages
        next before or after that message, and ``number`` is ignored; this is equally fast for old and new messages.
        ``size`` is ``PAGE_SIZE`` by default.
        """
        size = size or conf.PAGE_SIZE
        if after is not None:
            later = stored_messages(self._state.db)
            first = later.sequence_of(after, self, step=1)
            return self.annotate_read(reversed(later.page_from(self.user_id, self.other_user_id, first, size=size)))
        skip, below = (max(number, 1) - 1) * size, self.sequence + 1
        if before is None and skip >= self.message_count:
            return []
        messages = stored_messages(self._state.db)
        if before is not None:
            skip, below = 0, messages.sequence_of(before, self)
        elif self.message_count == self.sequence:  # nothing was ever deleted, so each page is a known range
            skip, below = 0, below - skip
        return self.annotate_read(messages.in_conversation(self, below=below, skip=skip, size=size))

    def unread_messages(self) -> "list[Message]":
        """Return the messages that the user has received and not read, newest first.

        If there are more than ``MAX_UNREAD_MESSAGES``, return the oldest of them: after ``mark_read(messages[0])``, the
        next call returns the rest.
        """
        if not self.unread_count:
            return []
        oldest = stored_messages(self._state.db).unread_in_conversation(self)[:MAX_UNREAD_MESSAGES]
        return self.annotate_read(reversed(oldest))

    def mark_read(self, last: "Message | None" = None) -> int:
        """Mark the messages that the user has received as read, and return the number of messages that it marked.

        ``last`` is the newest message to mark. By default, messages that arrived after this object was loaded stay
        unread. If any message was marked, the signal ``message_read`` is sent after the commit.
        """
        marked: int = type(self).objects.mark_read(self, last)
        return marked

    def annotate_read(self, messages: "Iterable[Message]") -> "list[Message]":
        """Set ``is_read`` on the messages, and return them as a list."""
        annotated = list(messages)
        if self.peer_last_read_sequence is None and any(message.sender_id == self.user_id for message in annotated):
            mirrored = type(self).objects.using(self._state.db).filter(user=self.other_user_id, other_user=self.user_id)
            self.peer_last_read_sequence = mirrored.values_list("last_read_sequence", flat=True).first()
        for message in annotated:
            up_to = self.peer_last_read_sequence if message.sender_id == self.user_id else self.last_read_sequence
            message.is_read = message.sequence <= (up_to or 0)
        return annotated
