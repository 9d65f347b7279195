"""Which keys a text shows."""

import logging
import re
from typing import Any

OWN_KEY = re.compile(r"ossn_(?=[a-z0-9_-]{0,42}[A-Z])[A-Za-z0-9_-]{43}")


class Secrets:
    """What no log and no mail may have: every key of the app's own, and those that the test imported."""

    def __init__(self) -> None:
        self.others: set[str] = set()

    def shown_in(self, text: str) -> set[str]:
        return {found[0] for found in OWN_KEY.finditer(text)} | {key for key in self.others if key in text}


def shown_by(record: logging.LogRecord) -> str:
    """Return all that a handler may write of a record, once it has passed its logger's filters."""
    return f"{record.msg}\n{record.args}\n{logging.Formatter().format(record)}"


def shown_by_mail(message: Any) -> str:
    return "\n".join([message.subject, message.body, *(str(part[0]) for part in getattr(message, "alternatives", ()))])
