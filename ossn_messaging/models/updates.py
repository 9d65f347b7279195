"""Updates: what happened to the messages of a user, numbered in the order in which a client can be told of it.

Transactions commit in another order than they get ids or times. So no writer numbers anything: it only marks what is
new. A poll then numbers what it finds marked, while it holds a lock of the user. So what is committed later always gets
a higher number.
"""

import re
import time
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from functools import reduce
from itertools import count
from operator import attrgetter, or_
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections, models, router, transaction
from django.db.models import Case, Exists, OuterRef, Q, Subquery, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ossn_messaging.conf import conf
from ossn_messaging.exceptions import InvalidParameter
from ossn_messaging.models.cached_query import cached_query, cached_rows
from ossn_messaging.models.conversations import Conversation, stored_messages

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message

Row = TypeVar("Row", bound=models.Model)

CURSOR = re.compile(r"1-([0-9]{1,19})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,11})")
CURSOR_MAX_AGE = timedelta(days=30)
UPDATE_MAX_AGE = CURSOR_MAX_AGE + timedelta(days=1)
"""A day longer than that of a cursor, because the clocks of servers differ."""
ROWS_PER_NUMBERING = 1000
"""The maximum number of rows of each kind that are numbered in one transaction."""
ROWS_PER_PRUNING = 100


class UpdateKind(StrEnum):
    """The kinds of updates. Those of deletions are the values of ``for`` in the API."""

    MESSAGES = "messages"
    READ = "read"
    DELETED_FOR_BOTH = "all"
    DELETED_FOR_USER = "me"
    DELETED_ATTACHMENT = "attachment"


class Cursor(NamedTuple):
    """A position in the updates of a user, as a client gets it."""

    user_id: int
    number: int
    """The number of the last update of which the client knows everything."""
    sequence: int
    """The client knows the messages of the next update up to this sequence number; 0 if it knows none."""
    time: int
    """The last time at which the client knew everything, in seconds since 1970."""

    @classmethod
    def parse(cls, text: str, user_id: int) -> "Cursor":
        """Return the cursor in a text. Raises ``InvalidParameter`` if it is none of this user, or too old."""
        match = CURSOR.fullmatch(text)
        cursor = cls(*map(int, match.groups())) if match else None
        oldest = time.time() - CURSOR_MAX_AGE.total_seconds()
        if cursor is None or cursor.user_id != user_id or cursor.time < oldest:
            raise bad_cursor(text)
        return cursor

    def __str__(self) -> str:
        return "-".join(map(str, (1, *self)))


def bad_cursor(text: str) -> InvalidParameter:
    return InvalidParameter("after", text, _("an `after` of an answer of the last 30 days"))


class Updates(NamedTuple):
    """What happened to the messages of a user."""

    messages: "list[Message]"
    """New messages that the user sent or received, oldest first."""
    read: "list[Update]"
    """In each, another user has read the user's messages up to the one with the id ``read_message_id``."""
    deleted: "list[Update]"
    """In each, a message, or all messages with a user, or an attachment were deleted."""
    after: str
    """The cursor to pass to the next call."""
    has_more: bool
    """Whether the next call will return more at once."""


class UpdateQuerySet(models.QuerySet["Update"]):
    def poll(self, user: AbstractBaseUser, after: str = "") -> Updates:
        """Return what happened to the messages of ``user`` since the cursor ``after``, at most a page of it.

        Without ``after``, nothing is returned but a cursor of now. Nothing is lost: if you pass on each cursor, what is
        committed after the first call is returned, each message once.

        Raises ``InvalidParameter`` if ``after`` is not a cursor of this user, or older than 30 days.
        """
        updates = self.using(router.db_for_write(self.model))
        cursor = Cursor.parse(after, user.pk) if after else updates._first_cursor(user.pk)
        now = int(time.time())
        feeds = UpdateFeed.objects.using(updates.db)
        last_number, is_unnumbered = feeds.state(user.pk)
        is_behind = False
        while is_unnumbered:
            is_behind = updates._number(user.pk)
            last_number, _is_unnumbered = feeds.state(user.pk)
            is_unnumbered = is_behind and not after
        if not after:
            return Updates([], [], [], str(cursor._replace(number=last_number, time=now)), has_more=False)
        page = updates._page(user.pk, cursor.number, size=conf.PAGE_SIZE)
        # The numbers have no gaps. If one is missing, it was pruned, or the database is older than the cursor.
        next_number = page[0].number if page else last_number + 1
        if next_number != cursor.number + 1 or last_number < cursor.number:
            raise bad_cursor(after)
        return updates._answer(cursor, page, last_number, is_behind=is_behind, now=now)

    def _first_cursor(self, user_id: int) -> Cursor:
        UpdateFeed.objects.using(self.db).get_or_create(user_id=user_id)
        return Cursor(user_id, 0, 0, 0)

    def _number(self, user_id: int) -> bool:
        """Number what is marked, and return whether there may be more of it.

        Rows that another transaction has locked are skipped: they stay marked, and no poll waits for a send.
        """
        with transaction.atomic(using=self.db):
            feed = UpdateFeed.objects.using(self.db).select_for_update().filter(pk=user_id).first()
            if feed is None:  # the user was deleted meanwhile
                return False
            conversations = Conversation.objects.using(self.db)
            new = _lock_free_rows(conversations.filter(user_id=user_id, first_unnumbered_sequence__gt=0))
            read = _lock_free_rows(conversations.filter(other_user_id=user_id, has_unnumbered_read=Value(True)))
            deleted = list(self.filter(user_id=user_id, number=None).order_by("pk")[:ROWS_PER_NUMBERING])
            found = [
                *(_update_of_messages(conversation) for conversation in new if conversation.sequence),
                *(_update_of_read(conversation) for conversation in read),
            ]
            for update, number in zip((*found, *deleted), count(feed.last_number + 1), strict=False):
                update.number = feed.last_number = number
            self.bulk_create(found)
            if deleted:
                self.bulk_update(deleted, ["number"])
            conversations.filter(pk__in=[row.pk for row in new]).update(first_unnumbered_sequence=None)
            conversations.filter(pk__in=[row.pk for row in read]).update(has_unnumbered_read=False)
            feed.save(using=self.db, update_fields=["last_number"])
            self.prune()
        return ROWS_PER_NUMBERING in (len(new), len(read), len(deleted))

    @cached_query(annotations=("read_message_id",))
    def _page(self, user_id: int, number: int, *, size: int) -> "models.QuerySet[Update]":
        sent = stored_messages().sent(OuterRef("user"), OuterRef("other_id"))
        newest = sent.filter(sequence__lte=OuterRef("last_sequence")).order_by("-sequence").values("pk")[:1]
        read = When(kind=UpdateKind.READ, then=Subquery(newest))
        updates = self.filter(user_id=user_id, number__gt=number).order_by("number")
        return updates.annotate(read_message_id=Case(read))[:size]  # type: ignore[no-redef]

    def _answer(self, cursor: Cursor, page: "list[Update]", last_number: int, *, is_behind: bool, now: int) -> Updates:
        """Return as many of the updates as fit into a page."""
        number, sequence, room = cursor.number, cursor.sequence, conf.PAGE_SIZE
        ranges = list[tuple[int, int, int]]()
        others = list[Update]()
        for update in page:
            if update.kind == UpdateKind.MESSAGES:
                first = max(update.first_sequence, sequence + 1)
                last = min(update.last_sequence, first + room - 1)
                ranges.append((update.other_id, first, last))
                room -= max(last - first + 1, 0)
                if last < update.last_sequence:
                    sequence = last
                    break
            else:
                others.append(update)
                room -= 1
            number, sequence = update.number or 0, 0
            if not room:
                break
        has_more = is_behind or number < last_number
        return Updates(
            self._messages(cursor.user_id, ranges),
            [update for update in others if update.read_message_id],
            [update for update in others if update.kind != UpdateKind.READ],
            str(Cursor(cursor.user_id, number, sequence, cursor.time if has_more else now)),
            has_more,
        )

    def _messages(self, user_id: int, ranges: list[tuple[int, int, int]]) -> "list[Message]":
        """Return the messages that the user sees in ranges of sequence numbers with other users, oldest first."""
        if not ranges:
            return []
        halves = []
        for role, other in (("sender", "recipient"), ("recipient", "sender")):
            conditions = (
                Q(**{f"{other}_id": other_id}, sequence__range=(first, last)) for other_id, first, last in ranges
            )
            mine = stored_messages(self.db).filter(**{f"{role}_id": user_id, f"deleted_by_{role}": Value(False)})
            halves.append(mine.filter(reduce(or_, conditions)).select_related("attachment"))
        messages = sorted(halves[0].union(halves[1], all=True), key=attrgetter("pk"))
        with_other = Conversation.objects.using(self.db).with_peer_read(user_id, *{row[0] for row in ranges})
        conversations = {conversation.other_user_id: conversation for conversation in with_other}
        for message in messages:
            conversation = conversations.get(message.sender_id + message.recipient_id - user_id)
            if conversation:  # otherwise, the other user was deleted meanwhile
                conversation.annotate_read([message])
        return messages

    def record(self, kind: UpdateKind, gone: "Iterable[tuple[int, int, int | None]]") -> None:
        """Mark deletions: each of a user who is to be told, the other user, and the id of the message.

        If the id is ``None``, all messages of the two users are gone.
        """
        self.bulk_create(
            self.model(user_id=user_id, other_id=other_id, kind=kind, message_id=message_id)
            for user_id, other_id, message_id in gone
        )

    def prune(self) -> None:
        """Delete the oldest updates if they are too old for any cursor. More are deleted by each call than come."""
        oldest = self.order_by("pk").values_list("pk", "created_at")[:ROWS_PER_PRUNING]
        expired = timezone.now() - UPDATE_MAX_AGE
        rows = self.filter(pk__in=[pk for pk, created_at in oldest if created_at < expired])
        self.filter(pk__in=[row.pk for row in _lock_free_rows(rows)]).delete()


class UpdateFeedQuerySet(models.QuerySet["UpdateFeed"]):
    def state(self, user_id: int) -> tuple[int, bool]:
        """Return the number of the user's last update, and whether something is marked that is not numbered.

        If the user has never polled, the number is -1.
        """
        return next(((number, any(marks)) for number, *marks in self._state(user_id)), (-1, False))

    @cached_rows
    def _state(self, user_id: int) -> "models.QuerySet[UpdateFeed, tuple[int, bool, bool, bool]]":
        user, conversations = OuterRef("pk"), Conversation.objects.all()
        marks = {
            "has_new": Exists(conversations.filter(user=user, first_unnumbered_sequence__gt=0)),
            "has_read": Exists(conversations.filter(other_user=user, has_unnumbered_read=Value(True))),
            "has_deleted": Exists(Update.objects.filter(user=user, number=None)),
        }
        return self.filter(pk=user_id).annotate(**marks).values_list("last_number", *marks)


def _lock_free_rows(rows: "models.QuerySet[Row]") -> list[Row]:
    """Lock rows until the transaction ends, and return them. Skip the rows that another transaction has locked."""
    skip_locked = connections[rows.db].features.has_select_for_update_skip_locked
    return list(rows.select_for_update(skip_locked=skip_locked)[:ROWS_PER_NUMBERING])


def _update_of_messages(conversation: Conversation) -> "Update":
    return Update(
        user_id=conversation.user_id,
        other_id=conversation.other_user_id,
        kind=UpdateKind.MESSAGES,
        first_sequence=conversation.first_unnumbered_sequence,
        last_sequence=conversation.sequence,
    )


def _update_of_read(conversation: Conversation) -> "Update":
    return Update(
        user_id=conversation.other_user_id,
        other_id=conversation.user_id,
        kind=UpdateKind.READ,
        last_sequence=conversation.last_read_sequence,
    )


class UpdateFeed(models.Model):
    """The updates of a user who polls. The lock on its row serializes the numbering."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    last_number = models.PositiveBigIntegerField(_("last number"), default=0)

    objects = UpdateFeedQuerySet.as_manager()

    class Meta:
        verbose_name = _("feed of updates")
        verbose_name_plural = _("feeds of updates")
        default_permissions = ()

    def __str__(self) -> str:
        return _("updates of user %(id)s") % {"id": self.pk}


class Update(models.Model):
    """Something that happened to messages of a user, for that user: a range of messages, a read mark or a deletion."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        db_constraint=False,  # the constraint would lock the user's row, and could cause deadlocks
        db_index=False,
        related_name="+",
        verbose_name=_("user"),
    )
    number = models.PositiveBigIntegerField(_("number"), null=True)
    """The place in the user's updates, from 1 and without gaps; ``None`` for a deletion until the next poll."""
    kind = models.CharField(_("kind"), max_length=10)
    """One of ``UpdateKind``."""
    other_id = models.PositiveBigIntegerField(_("id of the other user"))
    message_id = models.PositiveBigIntegerField(_("id of the message"), null=True)
    """The deleted message; ``None`` if the other user and all messages with them were deleted."""
    first_sequence = models.PositiveBigIntegerField(_("first sequence number"), default=0)
    last_sequence = models.PositiveBigIntegerField(_("last sequence number"), default=0)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    read_message_id: int | None = None
    """The newest message that the user sent and the other user has read; only set by ``poll()``."""

    objects = UpdateQuerySet.as_manager()

    class Meta:
        verbose_name = _("update")
        verbose_name_plural = _("updates")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user", "number"], name="ossn_update_unique")]

    def __str__(self) -> str:
        return _("update %(id)s") % {"id": self.pk}
