"""The signals of the app. Each is sent after the transaction has been committed.

A receiver that raises changes nothing: what it was told of has happened, and its error is in the log of
``django.dispatch``.
"""

from django.dispatch import Signal

message_sent = Signal()
"""A message has been sent.

Arguments: ``sender``, the class ``Message``; ``message``, the new ``Message``, with its sender, recipient and
attachment loaded; ``api_key``, the ``APIKey`` that sent it, ``None`` when the site's own code did.
"""

message_viewed = Signal()
"""A user has viewed messages of a conversation.

Arguments: ``sender``, the class ``Conversation``; ``conversation``, the user's side of it; ``messages``, a queryset of
those that were viewed now, and are still there when it is read. One signal for all of them.
"""

message_deleted = Signal()
"""A message has been deleted, by ``delete_for()`` or ``delete_for_both()``; of ``delete()`` Django's signals tell.

Arguments: ``sender``, the class ``Message``; ``message``, with its sender and recipient loaded, as it is now: without
its text and attachment where it was deleted for both, without its row where both have deleted it; ``user``, for whom
alone it was deleted, ``None`` where for both.
"""
