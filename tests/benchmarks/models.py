"""A table with the columns of ``Message`` and nothing else: what a bare view writes to."""

from django.db import models


class BareMessage(models.Model):
    sender_id = models.BigIntegerField()
    recipient_id = models.BigIntegerField()
    text = models.TextField()
    api_key_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sequence = models.PositiveBigIntegerField(default=1)
    deleted_by_sender = models.BooleanField(default=False)
    deleted_by_recipient = models.BooleanField(default=False)
    deleted_at = models.DateTimeField(null=True)

    objects: models.Manager["BareMessage"] = models.Manager()

    def __str__(self) -> str:
        return f"message {self.pk}"
