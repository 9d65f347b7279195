"""The list of messages in the admin. It uses indexes and pages by id, so it is equally fast for any number of them."""

from collections.abc import Iterable
from itertools import product
from typing import Any, cast

from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db.models import QuerySet
from django.http import HttpRequest

from ossn_messaging.admin.base import may_view, page_limits
from ossn_messaging.admin.filters import Ids, MessageFilter, TimeFilter
from ossn_messaging.models import Conversation, Message
from ossn_messaging.models.users import parse_id

SCAN_LIMIT = 1000
"""The maximum number of messages that are read for one page if a filter has no index."""
USERS = 20
"""The maximum number of users, or of pairs of users, that are listed if several match the search text."""


class MessageList(ChangeList):
    """The list of messages, newest first. ``?before=ID`` and ``?after=ID`` select a page; no query counts messages."""

    people: list[tuple[AbstractBaseUser, ...]] = []
    """The users, or the pairs of users, that match the search text."""
    may_view_users: bool
    """Whether the reader may search for users by their e-mail addresses and by the beginning of their names."""
    older: str | None
    newer: str | None
    """``older`` and ``newer`` are the query strings of the adjacent pages, ``None`` if there is no such page."""
    is_cut: bool
    """Whether the page ends because ``SCAN_LIMIT`` was reached and not because the page is full."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Message]:
        """Return the messages that match the filters, without regard to the page and the search text."""
        self.may_view_users = may_view(request, get_user_model())
        for name in ("before", "after"):  # they are not filters, and a change of the filters resets them
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        self.filter_specs, self.has_filters, others, _doubles, self.has_active_filters = self.get_filters(request)
        self.clear_all_filters_qs = self.get_query_string(others, remove=self.get_filters_params())
        queryset = self.root_queryset
        for spec in self.filter_specs:
            queryset = cast("QuerySet[Message]", spec.queryset(request, queryset))
        return queryset

    def get_results(self, request: HttpRequest) -> None:
        before, after = page_limits(request)
        size, (sources, is_exact) = self.list_per_page, self._sources()
        limit = size if is_exact else SCAN_LIMIT
        ids = nearest(sources, limit + 1, before, after)
        rows = self.queryset.filter(pk__in=ids[:limit]).order_by("-pk" if after is None else "pk")
        found = list(rows[: size + 1])
        edge = found[size - 1].pk if len(found) > size else ids[limit - 1] if len(ids) > limit else None
        self.is_cut = edge is not None and len(found) < size
        found = found[:size]
        older, newer = edge, None if before is None else before - 1
        if after is not None:
            older, newer = after + 1, edge
            found.reverse()
        self.older = None if older is None else self.get_query_string({"before": older})
        self.newer = None if newer is None else self.get_query_string({"after": newer})
        self.result_list = found
        self.result_count = self.full_result_count = len(found)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True

    def _sources(self) -> tuple[list[Ids], bool]:
        """Return the sources of ids, and whether all of their messages match the filters."""
        asked = [spec for spec in self.filter_specs if isinstance(spec, MessageFilter) and spec.value() is not None]
        sources = [Ids(Message.objects.all())]
        indexed = [(spec, ids) for spec in asked if (ids := spec.ids())]
        if self.query:
            sources = self._search()
        elif indexed:
            asked.remove(indexed[0][0])
            sources = [indexed[0][1]]
        for spec in self.filter_specs:
            if isinstance(spec, TimeFilter):
                sources = [spec.within(ids) for ids in sources]
        return sources, not asked

    def _search(self) -> list[Ids]:
        """Return the sources of ids for a search: the message with this id, and the messages of the user found."""
        number = parse_id(self.query)
        sources = [] if number is None else [Ids(Message.objects.filter(pk=number))]
        self.people = find_people(self.query, may_view_users=self.may_view_users)
        if len(self.people) == 1 and len(self.people[0]) == 1:
            sources += [Ids(Message.objects.filter(**{role: self.people[0][0]})) for role in ("sender", "recipient")]
        return sources


def find_people(query: str, *, may_view_users: bool) -> list[tuple[AbstractBaseUser, ...]]:
    """Return the users that match a search text or, if there are none, the pairs that match its two words.

    If the reader may not view users, the pair must have written to each other.
    """
    if users := find_users(query, may_view_users=may_view_users):
        return [(user,) for user in users]
    words = query.split()
    if len(words) != 2:
        return []
    pairs = product(*(find_users(word, may_view_users=may_view_users) for word in words))
    return [
        pair
        for pair in pairs
        if pair[0] != pair[1] and (may_view_users or Conversation.objects.between_ids(pair[0].pk, pair[1].pk))
    ][:USERS]


def find_users(text: str, *, may_view_users: bool) -> list[AbstractBaseUser]:
    """Return the user with this name, in a list.

    If there is none and the reader may view users, return at most ``USERS`` users with this e-mail address or, if there
    are none, whose names begin with ``text``.
    """
    model = get_user_model()
    lookups: dict[str, Any] = {model.USERNAME_FIELD: text}
    if may_view_users:
        email = model.get_email_field_name()
        if "@" in text and any(field.name == email for field in model._meta.get_fields()):
            lookups[f"{email}__in"] = {text, text.lower(), BaseUserManager.normalize_email(text)}
        lookups[f"{model.USERNAME_FIELD}__startswith"] = text
    for lookup, value in lookups.items():
        if found := list(model._default_manager.filter(**{lookup: value})[:USERS]):
            return sorted(found, key=lambda user: user.get_username())
    return []


def nearest(sources: Iterable[Ids], size: int, before: int | None, after: int | None) -> list[int]:
    """Return up to ``size`` ids, the greatest ones less than ``before`` or the smallest ones greater than ``after``."""
    found: set[int] = set()
    order = "-" if after is None else ""
    for rows, field in sources:
        limits = {f"{field}__{lookup}": limit for lookup, limit in (("lt", before), ("gt", after)) if limit is not None}
        found.update(rows.filter(**limits).order_by(order + field).values_list(field, flat=True)[:size])
    return sorted(found, reverse=after is None)[:size]
