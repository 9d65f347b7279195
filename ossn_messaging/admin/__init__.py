"""What staff see: messages, to moderate them, and API keys."""

from ossn_messaging.admin import keys, messages  # noqa: F401, they register themselves
