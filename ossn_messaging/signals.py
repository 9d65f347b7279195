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
