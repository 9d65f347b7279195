"""Deletion of messages: for one user, for both users, permanently, or together with a user."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, transaction
from django.db.models.deletion import CASCADE, PROTECT, RESTRICT, Collector, get_candidate_relations_to_delete
from django.utils import timezone

from ossn_messaging.attachments.uploads import temporary_file
from ossn_messaging.models.attachments import Attachment
from ossn_messaging.models.conversations import Conversation
from ossn_messaging.models.updates import Update, UpdateKind
from ossn_messaging.signals import message_deleted
from ossn_messaging.storage import delete_file

if TYPE_CHECKING:
    from ossn_messaging.models.messages import Message


class DeletingQuerySet(models.QuerySet["Message"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the messages as if they had never been sent, and return Django's numbers of deleted rows."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            self._lock(self.using(self.db).order_by().values_list("sender_id", "recipient_id").distinct())
            deleted = super().delete()
            Update.objects.using(self.db).prune()
            return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def delete_for(self, user: AbstractBaseUser) -> int:
        """Delete the messages that ``user`` sees for this user only, and return their number.

        If the other user has already deleted a message, it is deleted permanently, with its file. The signal
        ``message_deleted`` is sent for each message after the commit.
        """
        with self._locked() as locked:
            seen = [message for message in locked if message.is_visible_to(user)]
            gone: dict[tuple[int, int], list[Message]] = {}
            for message in seen:
                if message.sender_id == user.pk:
                    message.deleted_by_sender = True
                else:
                    message.deleted_by_recipient = True
                gone.setdefault((user.pk, message.sender_id + message.recipient_id - user.pk), []).append(message)
            for role in ("sender", "recipient"):
                rows = self._rows(message for message in seen if getattr(message, f"{role}_id") == user.pk)
                rows.update(**{f"deleted_by_{role}": True})
            Conversation.objects.using(self.db).decrement_counters(gone)
            ids = ((*users, message.pk) for users, messages in gone.items() for message in messages)
            Update.objects.using(self.db).record(UpdateKind.DELETED_FOR_USER, ids)
            both = [message for message in seen if message.deleted_by_sender and message.deleted_by_recipient]
            if both:
                self._rows(both).delete()
            for message in both:
                message.lacks_attachment()
            self._announce(seen, user)
        return len(seen)

    delete_for.alters_data = True  # type: ignore[attr-defined]

    def delete_for_both(self) -> int:
        """Delete the text and the file of each message for both users, and return the number of messages.

        Both users still see that there was a message. The signal ``message_deleted`` is sent after the commit for each
        message that was not already deleted for both.
        """
        with self._locked() as locked:
            left = [message for message in locked if not message.is_deleted]
            Attachment.objects.using(self.db).filter(message__in=left).delete()
            now = timezone.now()
            self._rows(left).update(text="", deleted_at=now)
            for message in left:
                message.text, message.deleted_at = "", now
                message.lacks_attachment()
            self._record(UpdateKind.DELETED_FOR_BOTH, left)
            self._announce(left, None)
        return len(locked)

    delete_for_both.alters_data = True  # type: ignore[attr-defined]

    def delete_attachments(self) -> int:
        """Delete the attachments of the messages for both users, and return their number. The texts stay."""
        with self._locked() as locked:
            _deleted, numbers = Attachment.objects.using(self.db).filter(message__in=locked).delete()
            attached = [message for message in locked if hasattr(message, "attachment")]
            self._record(UpdateKind.DELETED_ATTACHMENT, attached)
        return numbers.get(Attachment._meta.label, 0)

    delete_attachments.alters_data = True  # type: ignore[attr-defined]

    @contextmanager
    def _locked(self) -> "Iterator[list[Message]]":
        """Lock the conversations of these messages until the transaction ends, and yield the reloaded messages."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            found = list(self.using(self.db))
            self._lock((message.sender_id, message.recipient_id) for message in found)
            yield list(self._rows(found).select_related("attachment", "sender", "recipient"))
            Update.objects.using(self.db).prune()

    def _rows(self, messages: "Iterable[Message]") -> models.QuerySet["Message"]:
        rows: models.QuerySet[Message] = self.model.objects.using(self.db)
        return rows.filter(pk__in=[message.pk for message in messages])

    def _lock(self, pairs: "Iterable[tuple[int, int]]") -> None:
        Conversation.objects.using(self.db).lock(pairs)

    def _record(self, kind: UpdateKind, messages: "list[Message]") -> None:
        """Record a deletion for the users who still see the messages."""
        seen = (
            (user_id, other_id, message.pk)
            for message in messages
            for user_id, other_id, deleted in message.participants()
            if not deleted
        )
        Update.objects.using(self.db).record(kind, seen)

    def _announce(self, messages: "list[Message]", user: AbstractBaseUser | None) -> None:
        for message in messages:
            send = partial(message_deleted.send_robust, sender=self.model, message=message, user=user)
            transaction.on_commit(send, using=self.db)


BATCH_SIZE = 1000
"""The number of messages that are in memory at once while their user is deleted."""


def cascade_in_batches(collector: Any, field: Any, messages: Any, using: str) -> None:
    """Delete messages with their user in batches: an ``on_delete`` like ``CASCADE`` for any number of messages.

    The admin's confirmation page lists only the first ``BATCH_SIZE`` messages. If a model of the site may protect
    messages from deletion, this is ``CASCADE``, so that Django checks all messages before it deletes anything.
    """
    if _may_be_kept(messages.model, set()):
        CASCADE(collector, field, messages, using)
        return
    if hasattr(collector, "nested"):  # the collector of the admin, which may not be installed
        CASCADE(collector, field, messages[:BATCH_SIZE], using)
        return
    of_users = next((rows for rows in collector.fast_deletes if isinstance(rows, BatchedMessageDeletion)), None)
    if of_users is None:
        of_users = BatchedMessageDeletion(messages.model)
        collector.fast_deletes.append(of_users)
    of_users.querysets.append((field.name, messages.order_by("pk")))


cascade_in_batches.lazy_sub_objs = True  # type: ignore[attr-defined]


def _may_be_kept(model: type[models.Model], seen: set[type[models.Model]]) -> bool:
    """Return whether a model may protect the rows of ``model``, or the rows that are deleted with them."""
    seen.add(model)
    relations: list[Any] = list(get_candidate_relations_to_delete(model._meta))
    return any(
        relation.on_delete in (PROTECT, RESTRICT)
        or (
            relation.on_delete is CASCADE
            and relation.related_model not in seen
            and _may_be_kept(relation.related_model, seen)
        )
        for relation in relations
    )


class BatchedMessageDeletion:
    """The messages of a deleted user, as an entry of Django's ``Collector.fast_deletes``."""

    def __init__(self, model: "type[Message]") -> None:
        self.model = model
        self.querysets: list[tuple[str, models.QuerySet[Message]]] = []
        """The messages by the field that points to the deleted user."""
        self.files = temporary_file()
        """The names of their files, one per line."""
        weakref.finalize(self, self.files.close)  # if the deletion is rolled back

    def _raw_delete(self, using: str) -> int:
        """Delete the messages and their related rows, and return their number. Files are deleted after the commit."""
        # Lock conversations first, in the global order, to avoid deadlocks.
        others = set[tuple[int, int]]()
        for field, rows in self.querysets:
            other = "recipient_id" if field == "sender" else "sender_id"
            others.update(rows.order_by().values_list(other, f"{field}_id").distinct())
        Conversation.objects.using(using).lock(others)
        count = sum(self._delete_rows(rows, using) for _field, rows in self.querysets)
        gone = ((user_id, deleted_id, None) for user_id, deleted_id in sorted(others))
        Update.objects.using(using).record(UpdateKind.DELETED_FOR_USER, gone)
        Update.objects.using(using).prune()
        transaction.on_commit(self.delete_files, using=using)
        return count

    def _delete_rows(self, rows: "models.QuerySet[Message]", using: str) -> int:
        count, messages = 0, rows
        while batch := list(messages[:BATCH_SIZE]):
            # A query from the beginning would scan the index entries of all rows that were deleted before.
            messages = rows.filter(pk__gt=batch[-1].pk)
            count += len(batch)
            collector = Collector(using, origin=self)  # type: ignore[arg-type]
            collector.collect(batch)
            collector.delete()
        return count

    def delete_files(self) -> None:
        with self.files as names:
            names.seek(0)
            for name in names:
                delete_file(name.decode().rstrip("\n"))
