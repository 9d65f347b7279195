"""The admin of messages, with moderation, of API keys and of blocks."""

from ossn_messaging.admin import blocks, keys, messages  # noqa: F401, the import registers the admins
