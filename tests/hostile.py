"""Parts of a site's ``REST_FRAMEWORK`` that break whoever heeds them."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class BrokenNegotiation(DefaultContentNegotiation):
    def __init__(self) -> None:
        raise AssertionError("the site's own negotiation was asked")


def broken_exception_handler(exc: Exception, context: dict[str, Any]) -> None:
    raise AssertionError("the site's own exception handler was asked")
