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
            for side in ("sender", "recipient"):
                rows = self._rows(message for message in seen if getattr(message, f"{side}_id") == user.pk)
                rows.update(**{f"deleted_by_{side}": True})
            Conversation.objects.using(self.db).forget(gone)
            both = [message for message in seen if message.deleted_by_sender and message.deleted_by_recipient]
            if both:
                self._rows(both).delete()
            for message in both:
                message.lacks_attachment()
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
            now = timezone.now()
            self._rows(left).update(text="", deleted_at=now)
            for message in left:
                message.text, message.deleted_at = "", now
                message.lacks_attachment()
            self._announce(left, None)
        return len(held)

    delete_for_both.alters_data = True  # type: ignore[attr-defined]

    def delete_attachments(self) -> int:
        """Take the files away for both sides; the texts stay. Returns how many there were."""
        from ossn_messaging.models import Attachment

        with self._held() as held:
            _deleted, numbers = Attachment.objects.using(self.db).filter(message__in=held).delete()
        return numbers.get(Attachment._meta.label, 0)

    delete_attachments.alters_data = True  # type: ignore[attr-defined]

    @contextmanager
    def _held(self) -> "Iterator[list[Message]]":
        """Lock the conversations of these messages until the end of the transaction, and see what they are then."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            found = list(self.using(self.db))
            self._hold((message.sender_id, message.recipient_id) for message in found)
            yield list(self._rows(found).select_related("attachment", "sender", "recipient"))

    def _rows(self, messages: "Iterable[Message]") -> models.QuerySet["Message"]:
        rows: models.QuerySet[Message] = self.model.objects.using(self.db)
        return rows.filter(pk__in=[message.pk for message in messages])

    def _hold(self, pairs: "Iterable[tuple[int, int]]") -> None:
        from ossn_messaging.models import Conversation

        Conversation.objects.using(self.db).hold(pairs)

    def _announce(self, messages: "list[Message]", user: AbstractBaseUser | None) -> None:
        for message in messages:
            send = partial(message_deleted.send_robust, sender=self.model, message=message, user=user)
            transaction.on_commit(send, using=self.db)
