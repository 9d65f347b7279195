"""What is kept of conversations, so that nobody has to count."""

from collections.abc import Iterable
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.db import connections, models
from django.db.models import Q

if TYPE_CHECKING:
    from ossn_messaging.models import Conversation, Message  # noqa: F401, in the base below

ADVANCE = """
INSERT INTO {table} ({user}, {other}, {position}, {messages}, {unread}, {read_up_to}, {active_at})
VALUES (%s, %s, 1, 1, %s, 0, %s), (%s, %s, 1, 1, %s, 0, %s)
{on_conflict}
    {position} = {table}.{position} + 1,
    {messages} = {table}.{messages} + 1,
    {unread} = {table}.{unread} + {new_unread},
    {active_at} = CASE WHEN {table}.{active_at} > {new_active_at} THEN {table}.{active_at} ELSE {new_active_at} END
RETURNING {id}, {position}, {active_at}
"""


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def advance(self, message: "Message") -> tuple[int, datetime]:
        """Count a new message on both of its sides, and hold their rows until the transaction ends.

        Returns the message's position and its time, which is not before that of the message that it follows. One
        statement, which makes the rows where there are none; Django has none that adds to what a row holds.
        """
        connection = connections[self.db]
        quote = connection.ops.quote_name
        name = {field.name: quote(str(field.column)) for field in self.model._meta.concrete_fields}
        if connection.features.supports_update_conflicts_with_target:
            name["on_conflict"] = f"ON CONFLICT ({name['user']}, {name['other']}) DO UPDATE SET"
            new = "EXCLUDED.{}"
        else:  # pragma: no cover, MariaDB alone, on which the suite runs as well
            name["on_conflict"] = "ON DUPLICATE KEY UPDATE"
            new = "VALUES({})"
        name |= {f"new_{field}": new.format(name[field]) for field in ("unread", "active_at")}
        at = self.model._meta.get_field("active_at").get_db_prep_save(message.created_at, connection)
        params = [
            value
            for user_id, other_id, _deleted in message.sides()
            for value in (user_id, other_id, int(user_id == message.recipient_id), at)
        ]
        sides = list(self.raw(ADVANCE.format(table=quote(self.model._meta.db_table), **name), params))
        return max(side.position for side in sides), max(filter(None, (side.active_at for side in sides)))

    def hold(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Lock both sides of the conversations of these pairs of user ids, in the one order in which all do.

        One by one and by the unique index, as in ``advance()``: MariaDB locks whatever it comes upon on its way.
        """
        for user_id, other_id in sorted({side for one, other in pairs for side in ((one, other), (other, one))}):
            list(self.filter(user_id=user_id, other_id=other_id).select_for_update().values_list("pk"))

    def forget(self, message: "Message") -> None:
        """Take a message out of the counts of those who still saw it; its row is gone, and its conversation held."""
        from ossn_messaging.models import Message

        left = Message.objects.using(self.db)
        seen = [Q(user_id=user_id, other_id=other_id) for user_id, other_id, deleted in message.sides() if not deleted]
        for side in self.filter(reduce(or_, seen)) if seen else []:
            side.messages -= 1
            side.unread -= side.user_id == message.recipient_id and message.position > side.read_up_to
            newest = [
                messages.order_by("-position").values_list("created_at", flat=True).first()
                for messages in (left.sent(side.user_id, side.other_id), left.received(side.user_id, side.other_id))
            ]
            side.active_at = max(filter(None, newest), default=None)
            side.save(using=self.db, update_fields=["messages", "unread", "active_at"])
