"""Querysets of messages: the pages of a conversation as a user sees it, found by indexes."""

from bisect import bisect_left
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import connections, models
from django.db.models import OuterRef, Value

from ossn_messaging.models.cached_query import cached_query
from ossn_messaging.models.conversations import Conversation
from ossn_messaging.models.deletion import DeletingQuerySet

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message

Row = TypeVar("Row")

# A binary search in the ids for the first message that was not sent before a given time.
FIRST_SINCE = """
WITH RECURSIVE search (low, high) AS (
    SELECT MIN({id}), MAX({id}) + 1 FROM {table}
    UNION ALL
    SELECT
        CASE WHEN {middle_is_earlier} THEN ((low + high) >> 1) + 1 ELSE low END,
        CASE WHEN {middle_is_earlier} THEN high ELSE (low + high) >> 1 END
    FROM search WHERE low < high
)
SELECT MAX(low) FROM search
"""
MIDDLE_IS_EARLIER = "(SELECT {created_at} < %s FROM {table} WHERE {id} >= (low + high) >> 1 ORDER BY {id} LIMIT 1)"


class MessageQuerySet(DeletingQuerySet):
    """A queryset of messages. ``sent()`` and ``received()`` each read one range of an index.

    They compare with ``Value(False)``, because Django writes ``NOT`` for ``False``, and SQLite uses no index for that.
    """

    def sent(self, user_id: "int | OuterRef", other_id: "int | OuterRef") -> Self:
        """Return the messages that the user sent to the other user and has not deleted."""
        return self.filter(sender_id=user_id, recipient_id=other_id, deleted_by_sender=Value(False))

    def received(self, user_id: "int | OuterRef", other_id: "int | OuterRef") -> Self:
        """Return the messages that the user received from the other user and has not deleted."""
        return self.filter(recipient_id=user_id, sender_id=other_id, deleted_by_recipient=Value(False))

    def in_conversation(
        self, conversation: "Conversation", *, below: int, skip: int = 0, size: int = 1
    ) -> "list[Message]":
        """Return the newest messages of a user's conversation with sequence numbers less than ``below``.

        The first ``skip`` messages are skipped by a query that reads only the indexes.
        """
        if skip:
            users = conversation.user_id, conversation.other_user_id
            halves = self.sent(*users), self.received(*users)
            sequences = _merged([half.filter(sequence__lt=below).values("sequence") for half in halves], skip + 1)
            below = _sequence_after(sequences, skip)
        return self._page(conversation.user_id, conversation.other_user_id, below, size=size)

    @cached_query(related=("attachment",))
    def _page(self, user_id: int, other_id: int, below: int, *, size: int) -> "models.QuerySet[Message]":
        messages = self.filter(sequence__lt=below)
        return _merged([messages.sent(user_id, other_id), messages.received(user_id, other_id)], size)

    @cached_query(related=("attachment",))
    def page_from(self, user_id: int, other_id: int, first: int, *, size: int) -> "models.QuerySet[Message]":
        """Return the oldest messages of a user's conversation from the sequence number ``first`` on, oldest first."""
        messages = self.filter(sequence__gte=first)
        return _merged([messages.sent(user_id, other_id), messages.received(user_id, other_id)], size, "sequence")

    @cached_query(related=("attachment",))
    def with_ids(self, *ids: int) -> "models.QuerySet[Message]":
        """Return the messages with these ids, with their attachments."""
        return self.filter(pk__in=ids)

    def unread_in_conversation(self, conversation: "Conversation") -> "models.QuerySet[Message]":
        """Return the messages that the user has received and not read, oldest first, with their attachments."""
        received = self.received(conversation.user_id, conversation.other_user_id)
        unread = received.filter(sequence__gt=conversation.last_read_sequence).order_by("sequence")
        return unread.select_related("attachment")

    def sequence_of(self, message_id: int, conversation: "Conversation", *, step: int = 0) -> int:
        """Return the sequence number of a message in a conversation, plus ``step``.

        If the message is not there, return the number of the first message with a greater id, without ``step``.

        Ids and sequence numbers grow in the same order, so a binary search finds it.
        """
        found = self.filter(pk=message_id).values_list("sender_id", "recipient_id", "sequence").first()
        if found and set(found[:2]) == {conversation.user_id, conversation.other_user_id}:
            return int(found[2]) + step

        def newest_id(sequence: int) -> int:
            return next((message.pk for message in self.in_conversation(conversation, below=sequence + 1)), 0)

        return bisect_left(range(conversation.sequence + 1), message_id, key=newest_id)

    def first_id_since(self, moment: datetime) -> int:
        """Return the id of the first message that was not sent before ``moment``.

        If there is no such message, return an id greater than all; if there are no messages at all, return 0.
        """
        connection = connections[self.db]
        name = {field.name: connection.ops.quote_name(str(field.column)) for field in self.model._meta.concrete_fields}
        name["table"] = connection.ops.quote_name(self.model._meta.db_table)
        earlier = MIDDLE_IS_EARLIER.format(**name)
        at = self.model._meta.get_field("created_at").get_db_prep_value(moment, connection)
        with connection.cursor() as cursor:
            cursor.execute(FIRST_SINCE.format(middle_is_earlier=earlier, **name), [at, at])
            return cursor.fetchone()[0] or 0


def _merged(
    halves: "list[models.QuerySet[Message, Row]]", size: int, ordering: str = "-sequence"
) -> "models.QuerySet[Message, Row]":
    """Return the first rows of both querysets, by default the newest.

    If the database allows it, each queryset gets a limit before the union, because MariaDB would read all of its rows.
    """
    can_cut = connections[halves[0].db].features.supports_slicing_ordering_in_compound
    one, other = (half.order_by(ordering)[:size] if can_cut else half for half in halves)
    return one.union(other, all=True).order_by(ordering)[:size]


def _sequence_after(sequences: "models.QuerySet[Message, dict[str, Any]]", skip: int) -> int:
    """Return the sequence number of the last row that is skipped, or 0 if there are fewer rows."""
    return next((int(row["sequence"]) for row in sequences[skip - 1 : skip]), 0)
