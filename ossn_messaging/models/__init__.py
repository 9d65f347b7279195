"""The models of the app. Each module has a model with its queryset and manager."""

from ossn_messaging.models.api_keys import APIKey
from ossn_messaging.models.attachments import Attachment
from ossn_messaging.models.blocks import Block
from ossn_messaging.models.conversations import Conversation
from ossn_messaging.models.idempotency import IdempotencyRecord
from ossn_messaging.models.messages import Message
from ossn_messaging.models.updates import Update, UpdateFeed

__all__ = ["APIKey", "Attachment", "Block", "Conversation", "IdempotencyRecord", "Message", "Update", "UpdateFeed"]
