"""A send that is safe to repeat: what was asked for under an idempotency key is done once."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.files.base import File
from django.db import models

from ossn_messaging.attachments.validation import size_and_sha256
from ossn_messaging.exceptions import BadIdempotencyKey, DifferentRequest, SentAndDeleted

if TYPE_CHECKING:
    from ossn_messaging.models import Message, Sending

KEY_MAX_LENGTH = 255
"""In characters."""


class SendingQuerySet(models.QuerySet["Sending"]):
    def begin(
        self, key: str, sender: AbstractBaseUser, recipient: AbstractBaseUser, text: str, upload: "File[Any] | None"
    ) -> "Sending":
        """Return what is asked for under ``key``, not yet saved; raises ``BadIdempotencyKey``."""
        if not (0 < len(key) <= KEY_MAX_LENGTH and key.isprintable()):
            raise BadIdempotencyKey
        if upload:
            upload.seek(0)
        asked = [recipient.pk, text, size_and_sha256(upload)[1] if upload else None]
        return self.model(
            sender_id=sender.pk, recipient_id=recipient.pk, key_digest=_digest(key), digest=_digest(json.dumps(asked))
        )

    def done(self, sending: "Sending") -> "Message | None":
        """Return the message that was sent under the same key, ``None`` where none was.

        Raises ``DifferentRequest`` where something else was asked for, and ``SentAndDeleted``.
        """
        done = (
            self.select_related("message__attachment", "message__sender", "message__recipient")
            .filter(sender_id=sending.sender_id, key_digest=sending.key_digest)
            .first()
        )
        if done is None:
            return None
        if done.digest != sending.digest:
            raise DifferentRequest
        if done.message is None or done.message.is_deleted or done.message.deleted_by_sender:
            raise SentAndDeleted
        done.message.repeats = done
        return done.message


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
