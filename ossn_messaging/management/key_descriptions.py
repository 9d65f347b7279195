"""Descriptions of API keys, as JSON and as lines of a table. They contain neither the key nor its digest."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Count
from django.utils import timezone

from ossn_messaging.management.tables import printable
from ossn_messaging.models import APIKey

TITLES = ("id", "name", "scopes", "users", "created", "expires", "revoked", "last used")


def iso(time: datetime | None) -> str | None:
    """Return a time in the format of ISO 8601, in UTC and exact to the second.

    A naive time is in the time zone of the site.
    """
    if time is None:
        return None
    aware = timezone.make_aware(time) if timezone.is_naive(time) else time
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def described(api_key: APIKey) -> dict[str, Any]:
    """Return the description of a key for JSON."""
    return {
        "id": api_key.pk,
        "name": api_key.name,
        "active": api_key.is_active,
        "scopes": api_key.scopes,
        "anyone": not api_key.is_restricted,
        "users": [
            {"id": user.pk, "username": user.get_username()}
            for user in sorted(api_key.users.all(), key=lambda user: user.pk)
        ],
        "created_at": iso(api_key.created_at),
        "expires_at": iso(api_key.expires_at),
        "revoked_at": iso(api_key.revoked_at),
        "last_used_at": iso(api_key.last_used_at),
    }


def described_in_full(api_key: APIKey) -> dict[str, Any]:
    """Return the description with the number of messages that the key has sent, in total and for each of its users.

    Messages that were permanently deleted are not counted.
    """
    sent = dict(api_key.messages.order_by().values_list("sender").annotate(Count("pk")))
    fields = described(api_key)
    for user in fields["users"]:
        user["messages"] = sent.get(user["id"], 0)
    return {**fields, "messages": sum(sent.values())}


def line(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of the key's line in a table with the columns ``TITLES``."""
    return (
        str(fields["id"]),
        printable(fields["name"]),
        ", ".join(fields["scopes"]),
        "anyone" if fields["anyone"] else str(len(fields["users"])),
        *(fields[name] or "never" for name in ("created_at", "expires_at", "revoked_at", "last_used_at")),
    )


def users_text(fields: dict[str, Any]) -> str:
    """Return a text with the users that the key may act as."""
    if fields["anyone"]:
        return "anyone"
    return ", ".join(f"{user['id']} {printable(user['username'])}" for user in fields["users"]) or "no one"


def details(fields: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of a table for one key, from the result of ``described_in_full()``."""
    return [
        *zip(TITLES, line(fields), strict=True),
        ("messages", str(fields["messages"])),
        *(
            (f"user {user['id']}", f"{printable(user['username'])}, messages: {user['messages']}")
            for user in fields["users"]
        ),
    ]
