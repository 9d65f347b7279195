"""What follows when rows are deleted, by whatever way: files go too, and the kept counts stay exact."""

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, pre_delete

from ossn_messaging.models import Attachment, Conversation, Message
from ossn_messaging.models.deletion import MessagesOfUser
from ossn_messaging.storage import discard


def remove_file(instance: Attachment, using: str, origin: object, **kwargs: Any) -> None:
    """Remove the file of a deleted attachment once its row is gone for good."""
    name = str(instance.file.name)
    if isinstance(origin, MessagesOfUser):
        origin.files.write(f"{name}\n".encode())
    else:
        transaction.on_commit(partial(discard, name), using=using)


def hold_message(instance: Message, using: str, origin: object, **kwargs: Any) -> None:
    """Lock the conversation of a message that is about to be deleted, and see what it is then.

    A message that goes because one of its users does needs none of it: their conversations go as well.
    """
    if not isinstance(origin, MessagesOfUser) and issubclass(getattr(origin, "model", type(origin)), Message):
        rows = Message.objects.using(using).filter(pk=instance.pk)
        Conversation.objects.using(using).hold(rows.values_list("sender_id", "recipient_id"))
        instance.__dict__["held"] = rows.first()


def forget_message(instance: Message, using: str, **kwargs: Any) -> None:
    """Take a message out of the counts of those who still saw it, unless another deletion has done so."""
    held: Message | None = instance.__dict__.pop("held", None)
    if held is not None:
        seen = {(user_id, other_id): [held] for user_id, other_id, deleted in held.sides() if not deleted}
        Conversation.objects.using(using).forget(seen)


def connect() -> None:
    pre_delete.connect(remove_file, sender=Attachment, dispatch_uid="ossn_messaging.remove_file")
    pre_delete.connect(hold_message, sender=Message, dispatch_uid="ossn_messaging.hold_message")
    post_delete.connect(forget_message, sender=Message, dispatch_uid="ossn_messaging.forget_message")
