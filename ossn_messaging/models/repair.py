"""The repair of conversations that differ from their messages, for example after rows were changed by SQL."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Value, Window
from django.db.models.functions import Coalesce, Greatest, Lag, Least

from ossn_messaging.models.conversations import Conversation
from ossn_messaging.models.messages import Message

if TYPE_CHECKING:
    from ossn_messaging.models.conversations import ConversationQuerySet
    from ossn_messaging.models.querysets import MessageQuerySet

Row = TypeVar("Row", bound=models.Model)

USERS_PER_QUERY = 500
ROWS_PER_QUERY = 1000
FIELDS = ("position", "messages", "unread", "read_up_to", "newest", "active_at")
"""The fields of a conversation that follow from its messages."""


@dataclass(frozen=True)
class Difference:
    """A difference between the messages of two users and their conversations."""

    user_id: int
    other_id: int
    detail: str


def find_differences(using: str, progress: Callable[..., Iterable[Any]]) -> Iterator[Difference]:
    """Yield all differences. Each query sees one state of the database, so messages can be sent meanwhile.

    ``progress(steps, what, total)`` yields ``steps`` and may show their number. ``total`` is approximate.
    """
    users = get_user_model()._base_manager.using(using)
    pages = _pages(users.only("pk"), USERS_PER_QUERY)
    for page in progress(pages, f"times {USERS_PER_QUERY} users", users.count() // USERS_PER_QUERY + 1):
        messages = _pairs_from(page[0].pk, page[-1].pk, using)
        for low, high in _without_rows(messages).iterator(chunk_size=ROWS_PER_QUERY):
            yield Difference(low, high, "there are messages and no rows")
        for low, high in _out_of_order(messages).iterator(chunk_size=ROWS_PER_QUERY):
            yield Difference(low, high, "the positions of the messages do not grow with their ids")
    sides = Conversation.objects.using(using)
    for side in progress(_in_order(_counted(sides)), "conversations", sides.count()):
        if side.user_id == side.other_id:
            yield Difference(side.user_id, side.other_id, "there is a row without another user")
        elif details := _correct(side):
            yield Difference(side.user_id, side.other_id, "; ".join(details))


def rebuild(user_id: int, other_id: int, using: str) -> None:
    """Correct the conversations of two users while their rows are locked, so that messages can be sent meanwhile.

    If the positions of the messages do not grow with their ids, the messages get new positions, and each user has read
    what is before the first message that was unread. A user whose row was missing has read nothing.
    """
    sides = Conversation.objects.using(using).filter(user__in=(user_id, other_id), other__in=(user_id, other_id))
    with transaction.atomic(using=using):
        sides.hold([(user_id, other_id)])
        sides.filter(user=F("other")).delete()
        if user_id == other_id:
            return
        pairs = {(user_id, other_id), (other_id, user_id)}
        if missing := pairs - set(sides.values_list("user_id", "other_id")):
            rows = [Conversation(user_id=user, other_id=other) for user, other in sorted(missing)]
            sides.bulk_create(rows, ignore_conflicts=True)
            sides.hold(missing)
        halves = [Message.objects.using(using).filter(sender=user, recipient=other) for user, other in pairs]
        if _out_of_order(_paired(halves[0] | halves[1])).exists():
            _renumber(halves, sides)
        for side in _counted(sides):
            _correct(side)
            side.save(using=using, update_fields=FIELDS)


def _correct(side: Any) -> list[str]:
    """Correct the fields of a row that ``_counted()`` returned, and return a text for each difference."""
    visible = [(side.sent_position, side.sent_at), (side.received_position, side.received_at)]
    newest, active_at = max(visible, key=itemgetter(0))
    position = max(side.position, side.mirrored_position or 0, newest, side.deleted_position)
    read_up_to = min(side.read_up_to, position)
    values = position, side.sent + side.received, side.received_unread, read_up_to, newest or None, active_at
    details = [] if side.mirrored_position is not None else ["the row of the other user is missing"]
    for field, value in zip(FIELDS, values, strict=True):
        if getattr(side, field) != value:
            details.append(f"{field} is {getattr(side, field)}, not {value}")
            setattr(side, field, value)
    return details


def _counted(sides: "ConversationQuerySet") -> "ConversationQuerySet":
    """Annotate conversations with the numbers and positions of their messages, each from one range of an index."""
    user, other = OuterRef("user"), OuterRef("other")
    messages = Message.objects.all()
    sent, received = messages.sent(user, other), messages.received(user, other)
    deleted = (
        messages.filter(sender=user, recipient=other, deleted_by_sender=Value(True)),
        messages.filter(recipient=user, sender=other, deleted_by_recipient=Value(True)),
    )
    return sides.annotate(
        sent=_count(sent),
        received=_count(received),
        received_unread=_count(received.filter(position__gt=OuterRef("read_up_to"))),
        sent_position=Coalesce(_newest(sent, "position"), 0),
        received_position=Coalesce(_newest(received, "position"), 0),
        sent_at=_newest(sent, "created_at"),
        received_at=_newest(received, "created_at"),
        deleted_position=Greatest(*(Coalesce(_newest(half, "position"), 0) for half in deleted)),
        mirrored_position=Subquery(Conversation.objects.filter(user=other, other=user).values("position")),
    )


def _count(messages: "MessageQuerySet") -> Coalesce:
    return Coalesce(Subquery(messages.values("sender").annotate(Count("pk")).values("pk__count")), 0)


def _newest(messages: "MessageQuerySet", field: str) -> Subquery:
    return Subquery(messages.order_by("-position").values(field)[:1])


def _paired(messages: "MessageQuerySet") -> "MessageQuerySet":
    """Annotate messages with their two users, the one with the lower id first."""
    users = "sender_id", "recipient_id"
    paired: MessageQuerySet = messages.annotate(low=Least(*users), high=Greatest(*users))
    return paired


def _pairs_from(first: int, last: int, using: str) -> "MessageQuerySet":
    """Return the messages whose user with the lower id has an id from ``first`` to ``last``."""
    # Without this condition, no index could be used.
    one_of_them = Q(sender__gte=first, sender__lte=last) | Q(recipient__gte=first, recipient__lte=last)
    return _paired(Message.objects.using(using).filter(one_of_them)).filter(low__range=(first, last))


def _without_rows(messages: "MessageQuerySet") -> "models.QuerySet[Message, tuple[int, int]]":
    """Return the pairs of user ids of messages whose two conversations are both missing."""
    low, high = OuterRef("low"), OuterRef("high")
    rows = (Exists(Conversation.objects.filter(user=user, other=other)) for user, other in ((low, high), (high, low)))
    without_rows: MessageQuerySet = messages.exclude(next(rows)).exclude(next(rows))
    return without_rows.values_list("low", "high").distinct()


def _out_of_order(messages: "MessageQuerySet") -> "models.QuerySet[Message, tuple[int, int]]":
    """Return the pairs of user ids of messages whose positions do not grow with their ids, from 1."""
    previous = Window(Lag("position"), partition_by=[F("low"), F("high")], order_by="pk")
    wrong = messages.annotate(previous=Coalesce(previous, 0)).filter(previous__gte=F("position"))
    return wrong.values_list("low", "high").distinct()


def _renumber(halves: "list[MessageQuerySet]", sides: "ConversationQuerySet") -> None:
    """Give the messages of two users new positions in the order of their ids, and move the read marks with them."""
    marks = dict(sides.values_list("user_id", "read_up_to"))
    read = dict[int, int]()
    rows = (_in_order(half.only("position", "recipient_id")) for half in halves)
    numbered = enumerate(merge(*rows, key=attrgetter("pk")), 1)
    position = 0
    while page := list(islice(numbered, ROWS_PER_QUERY)):
        for position, message in page:
            if message.position > marks[message.recipient_id]:
                read.setdefault(message.recipient_id, position - 1)
            message.position = position
        Message.objects.using(sides.db).bulk_update([message for _position, message in page], ["position"])
    for user_id in marks:
        sides.filter(user=user_id).update(read_up_to=read.get(user_id, position))


def _in_order(rows: "models.QuerySet[Row]") -> "Iterator[Row]":
    """Yield the rows in the order of their primary keys, with one query for each page."""
    return chain.from_iterable(_pages(rows, ROWS_PER_QUERY))


def _pages(rows: "models.QuerySet[Row]", size: int) -> "Iterator[list[Row]]":
    page = list(rows.order_by("pk")[:size])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk).order_by("pk")[:size])
