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
            yield Difference(low, high, "the sequence numbers of the messages do not grow with their ids")
    conversations = Conversation.objects.using(using)
    for conversation in progress(_in_order(_counted(conversations)), "conversations", conversations.count()):
        if conversation.user_id == conversation.other_user_id:
            yield Difference(conversation.user_id, conversation.other_user_id, "there is a row without another user")
        elif details := _correct(conversation):
            yield Difference(conversation.user_id, conversation.other_user_id, "; ".join(details))


def rebuild(user_id: int, other_id: int, using: str) -> None:
    """Correct the conversations of two users while their rows are locked, so that messages can be sent meanwhile.

    If the sequence numbers of the messages do not grow with their ids, the messages get new ones, and each user has
    read what is before the first message that was unread. A user whose row was missing has read nothing.
    """
    both = user_id, other_id
    conversations = Conversation.objects.using(using).filter(user__in=both, other_user__in=both)
    with transaction.atomic(using=using):
        conversations.lock([both])
        conversations.filter(user=F("other_user")).delete()
        if user_id == other_id:
            return
        pairs = {both, both[::-1]}
        if missing := pairs - set(conversations.values_list("user_id", "other_user_id")):
            rows = [Conversation(user_id=user, other_user_id=other) for user, other in sorted(missing)]
            conversations.bulk_create(rows, ignore_conflicts=True)
            conversations.lock(missing)
        halves = [Message.objects.using(using).filter(sender=user, recipient=other) for user, other in pairs]
        if _out_of_order(_paired(halves[0] | halves[1])).exists():
            _renumber(halves, conversations)
        for conversation in _counted(conversations):
            _correct(conversation)
            conversation.save(using=using)


def _correct(conversation: Any) -> list[str]:
    """Correct the fields of a row that ``_counted()`` returned, and return a text for each difference."""
    sent = conversation.sent_sequence, conversation.sent_at
    received = conversation.received_sequence, conversation.received_at
    newest, last_message_at = max(sent, received, key=itemgetter(0))
    sequence = max(conversation.sequence, conversation.mirrored_sequence or 0, newest, conversation.deleted_sequence)
    correct = {
        "sequence": sequence,
        "message_count": conversation.sent + conversation.received,
        "unread_count": conversation.received_unread,
        "last_read_sequence": min(conversation.last_read_sequence, sequence),
        "last_sequence": newest or None,
        "last_message_at": last_message_at,
    }
    details = [] if conversation.mirrored_sequence is not None else ["the row of the other user is missing"]
    for field, value in correct.items():
        if getattr(conversation, field) != value:
            details.append(f"{field} is {getattr(conversation, field)}, not {value}")
            setattr(conversation, field, value)
    return details


def _counted(conversations: "ConversationQuerySet") -> "ConversationQuerySet":
    """Annotate conversations with what their messages say. Each annotation reads one range of an index."""
    user, other = OuterRef("user"), OuterRef("other_user")
    messages = Message.objects.all()
    sent, received = messages.sent(user, other), messages.received(user, other)
    deleted = (
        messages.filter(sender=user, recipient=other, deleted_by_sender=Value(True)),
        messages.filter(recipient=user, sender=other, deleted_by_recipient=Value(True)),
    )
    return conversations.annotate(
        sent=_count(sent),
        received=_count(received),
        received_unread=_count(received.filter(sequence__gt=OuterRef("last_read_sequence"))),
        sent_sequence=Coalesce(_newest(sent, "sequence"), 0),
        received_sequence=Coalesce(_newest(received, "sequence"), 0),
        sent_at=_newest(sent, "created_at"),
        received_at=_newest(received, "created_at"),
        deleted_sequence=Greatest(*(Coalesce(_newest(half, "sequence"), 0) for half in deleted)),
        mirrored_sequence=Subquery(Conversation.objects.filter(user=other, other_user=user).values("sequence")),
    )


def _count(messages: "MessageQuerySet") -> Coalesce:
    return Coalesce(Subquery(messages.values("sender").annotate(Count("pk")).values("pk__count")), 0)


def _newest(messages: "MessageQuerySet", field: str) -> Subquery:
    return Subquery(messages.order_by("-sequence").values(field)[:1])


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
    rows = Conversation.objects.all()
    of_low, of_high = Exists(rows.filter(user=low, other_user=high)), Exists(rows.filter(user=high, other_user=low))
    without_rows: MessageQuerySet = messages.filter(~of_low, ~of_high)
    return without_rows.values_list("low", "high").distinct()


def _out_of_order(messages: "MessageQuerySet") -> "models.QuerySet[Message, tuple[int, int]]":
    """Return the pairs of user ids of messages whose sequence numbers do not grow with their ids, from 1."""
    previous = Window(Lag("sequence"), partition_by=[F("low"), F("high")], order_by="pk")
    wrong: MessageQuerySet = messages.annotate(previous=Coalesce(previous, 0)).filter(previous__gte=F("sequence"))
    return wrong.values_list("low", "high").distinct()


def _renumber(halves: "list[MessageQuerySet]", conversations: "ConversationQuerySet") -> None:
    """Give the messages of two users new sequence numbers in the order of their ids, and adapt the read marks."""
    marks = dict(conversations.values_list("user_id", "last_read_sequence"))
    read = dict[int, int]()
    rows = (_in_order(half.only("sequence", "recipient_id")) for half in halves)
    numbered = enumerate(merge(*rows, key=attrgetter("pk")), 1)
    sequence = 0
    while page := list(islice(numbered, ROWS_PER_QUERY)):
        for sequence, message in page:
            if message.sequence > marks[message.recipient_id]:
                read.setdefault(message.recipient_id, sequence - 1)
            message.sequence = sequence
        Message.objects.using(conversations.db).bulk_update([message for _sequence, message in page], ["sequence"])
    for user_id in marks:
        conversations.filter(user=user_id).update(
            # Clients get all messages again: the numbers that they got updates by are wrong now.
            first_unnumbered_sequence=1,
            has_unnumbered_read=True,
            last_read_sequence=read.get(user_id, sequence),
        )


def _in_order(rows: "models.QuerySet[Row]") -> "Iterator[Row]":
    """Yield the rows in the order of their primary keys, with one query for each page."""
    return chain.from_iterable(_pages(rows, ROWS_PER_QUERY))


def _pages(rows: "models.QuerySet[Row]", size: int) -> "Iterator[list[Row]]":
    page = list(rows.order_by("pk")[:size])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk).order_by("pk")[:size])
