"""Deleting: for one of the two users, for both, or for good."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models, transaction
from django.utils import timezone

from ossn_messaging.signals import message_deleted

if TYPE_CHECKING:
    from ossn_messaging.models import Message


class DeletingQuerySet(models.QuerySet["Message"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete them for good, as if they had never been sent."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            self._hold(self.using(self.db).order_by().values_list("sender_id", "recipient_id").distinct())
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def delete_for(self, user: AbstractBaseUser) -> int:
        """Delete for ``user`` alone those that they see; what both have deleted goes for good, and its file with it.

        Returns how many there were. ``message_deleted`` follows the commit, for each.
        """
        from ossn_messaging.models import Conversation

        with self._held() as held:
            seen = [message for message in held if message.is_visible_to(user)]
            gone: dict[tuple[int, int], list[Message]] = {}
            for message in seen:
                if message.sender_id == user.pk:
                    message.deleted_by_sender = True
                else:
                    message.deleted_by_recipient = True
                gone.setdefault((user.pk, message.sender_id + message.recipient_id - user.pk), []).append(message)
            self.model.objects.using(self.db).bulk_update(seen, ["deleted_by_sender", "deleted_by_recipient"])
            Conversation.objects.using(self.db).forget(gone)
            for message in seen:
                if message.deleted_by_sender and message.deleted_by_recipient:
                    message.delete(using=self.db)
            self._announce(seen, user)
        return len(seen)

    delete_for.alters_data = True  # type: ignore[attr-defined]

    def delete_for_both(self) -> int:
        """Take text and file away for both sides, which still see that there was a message.

        Returns how many there were. ``message_deleted`` follows the commit, for each that was not deleted before.
        """
        from ossn_messaging.models import Attachment

        with self._held() as held:
            left = [message for message in held if not message.is_deleted]
            Attachment.objects.using(self.db).filter(message__in=left).delete()
            for message in left:
                message.text, message.deleted_at = "", timezone.now()
                message.lacks_attachment()
            self.model.objects.using(self.db).bulk_update(left, ["text", "deleted_at"])
            self._announce(left, None)
        return len(held)

    delete_for_both.alters_data = True  # type: ignore[attr-defined]

    @contextmanager
    def _held(self) -> "Iterator[list[Message]]":
        """Lock the conversations of these messages until the end of the transaction, and see what they are then."""
        self._for_write = True
        rows = self.model.objects.using(self.db)
        with transaction.atomic(using=self.db):
            found = list(self.using(self.db).order_by().values_list("pk", "sender_id", "recipient_id"))
            self._hold((sender_id, recipient_id) for _pk, sender_id, recipient_id in found)
            yield list(rows.filter(pk__in=[row[0] for row in found]).select_related("attachment"))

    def _hold(self, pairs: "Iterable[tuple[int, int]]") -> None:
        from ossn_messaging.models import Conversation

        Conversation.objects.using(self.db).hold(pairs)

    def _announce(self, messages: "list[Message]", user: AbstractBaseUser | None) -> None:
        for message in messages:
            send = partial(message_deleted.send_robust, sender=self.model, message=message, user=user)
            transaction.on_commit(send, using=self.db)
