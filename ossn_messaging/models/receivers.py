"""Signal receivers that delete files and keep the counters correct, however rows are deleted."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, pre_delete

from ossn_messaging.models import Attachment, Conversation, Message
from ossn_messaging.models.deletion import BatchedMessageDeletion
from ossn_messaging.storage import delete_file


def remove_file(instance: Attachment, using: str, origin: object, **kwargs: Any) -> None:
    """Delete the file of a deleted attachment after the commit."""
    name = str(instance.file.name)
    if isinstance(origin, BatchedMessageDeletion):
        origin.files.write(f"{name}\n".encode())
    else:
        transaction.on_commit(partial(delete_file, name), using=using)


def hold_message(instance: Message, using: str, origin: object, **kwargs: Any) -> None:
    """Lock the conversations of a message that is about to be deleted, and reload its row.

    If a message is deleted together with one of its users, this does nothing: their conversations are deleted as well.
    """
    if not isinstance(origin, BatchedMessageDeletion) and issubclass(getattr(origin, "model", type(origin)), Message):
        rows = Message.objects.using(using).filter(pk=instance.pk)
        Conversation.objects.using(using).lock(rows.values_list("sender_id", "recipient_id"))
        instance.__dict__["held"] = rows.first()


def forget_message(instance: Message, using: str, **kwargs: Any) -> None:
    """Subtract a deleted message from the counters of the users who still saw it.

    If another deletion has already done so, this does nothing.
    """
    held: Message | None = instance.__dict__.pop("held", None)
    if held is not None:
        seen = {(user_id, other_id): [held] for user_id, other_id, deleted in held.sides() if not deleted}
        Conversation.objects.using(using).decrement_counters(seen)


def connect() -> None:
    pre_delete.connect(remove_file, sender=Attachment, dispatch_uid="ossn_messaging.remove_file")
    pre_delete.connect(hold_message, sender=Message, dispatch_uid="ossn_messaging.hold_message")
    post_delete.connect(forget_message, sender=Message, dispatch_uid="ossn_messaging.forget_message")
