"""The admin of messages, with moderation, and of API keys."""

from ossn_messaging.admin import keys, messages  # noqa: F401, the import registers the admins
