"""Signal receivers that delete files and keep the counters correct, however rows are deleted."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, pre_delete

from ossn_messaging.models import Attachment, Conversation, Message, Update
from ossn_messaging.models.deletion import BatchedMessageDeletion
from ossn_messaging.models.updates import UpdateKind
from ossn_messaging.storage import delete_file


def delete_attachment_file(instance: Attachment, using: str, origin: object, **kwargs: Any) -> None:
    """Delete the file of a deleted attachment after the commit."""
    name = str(instance.file.name)
    if isinstance(origin, BatchedMessageDeletion):
        origin.files.write(f"{name}\n".encode())
    else:
        transaction.on_commit(partial(delete_file, name), using=using)


def lock_message(instance: Message, using: str, origin: object, **kwargs: Any) -> None:
    """Lock the conversations of a message that is about to be deleted, and reload its row.

    If a message is deleted together with one of its users, this does nothing: their conversations are deleted as well.
    """
    if not isinstance(origin, BatchedMessageDeletion) and issubclass(getattr(origin, "model", type(origin)), Message):
        rows = Message.objects.using(using).filter(pk=instance.pk)
        Conversation.objects.using(using).lock(rows.values_list("sender_id", "recipient_id"))
        instance.__dict__["locked"] = rows.first()


def update_counters(instance: Message, using: str, origin: object, **kwargs: Any) -> None:
    """Subtract a deleted message from the counters of the users who still saw it, and record the deletion for them.

    If another deletion has already done so, this does nothing.
    """
    if isinstance(origin, BatchedMessageDeletion):  # it records the deletion of whole conversations
        return
    is_locked = "locked" in instance.__dict__
    message: Message | None = instance.__dict__.pop("locked", instance)
    if message is None:
        return
    seen = [(user_id, other_id) for user_id, other_id, deleted in message.participants() if not deleted]
    if is_locked:
        Conversation.objects.using(using).decrement_counters({users: [message] for users in seen})
    gone = ((*users, message.pk) for users in seen)
    Update.objects.using(using).record(UpdateKind.DELETED_FOR_USER, gone)


def connect() -> None:
    pre_delete.connect(delete_attachment_file, sender=Attachment, dispatch_uid="ossn_messaging.delete_attachment_file")
    pre_delete.connect(lock_message, sender=Message, dispatch_uid="ossn_messaging.lock_message")
    post_delete.connect(update_counters, sender=Message, dispatch_uid="ossn_messaging.update_counters")
