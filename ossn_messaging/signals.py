"""The signals of the app. Each is sent after the transaction is committed (docs/reference/signals.md).

A receiver that raises an exception changes nothing, because the transaction is already committed. Django logs the
exception with the logger ``django.dispatch``.
"""

from django.dispatch import Signal

message_sent = Signal()
"""A message was sent.

Arguments: ``sender``, the class ``Message``; ``message``, the new ``Message``, with its sender, recipient and
attachment loaded; ``api_key``, the ``APIKey`` that sent it, or ``None`` if a member by a session or the site's own
code sent it.
"""

message_read = Signal()
"""A user has read messages of a conversation. One signal is sent for all of them.

Arguments: ``sender``, the class ``Conversation``; ``conversation``, the reader's ``Conversation``; ``messages``, a
queryset of the messages that were read now and still exist when it is evaluated.
"""

message_deleted = Signal()
"""A message was deleted by ``delete_for()`` or ``delete_for_both()``. ``delete()`` sends only Django's signals.

Arguments: ``sender``, the class ``Message``; ``message``, as it is now, with its sender and recipient loaded; ``user``,
the user for whom it was deleted, or ``None`` if it was deleted for both.

After ``delete_for_both()``, ``message`` has no text and no attachment. After both users have deleted it for themselves,
it has no row in the database.
"""
