"""The list of messages in the admin. It uses indexes and pages by id, so it is equally fast for any number of them."""

from collections.abc import Iterable
from typing import Any, cast

from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest

from ossn_messaging.admin.base import may_view
from ossn_messaging.admin.filters import Ids, MessageFilter, TimeFilter
from ossn_messaging.models import Message
from ossn_messaging.models.users import parse_id

SCAN_LIMIT = 1000
"""The maximum number of messages that are read for one page if a filter has no index."""
USERS = 20
"""The maximum number of users that are listed if several usernames begin with the search text."""


class MessageList(ChangeList):
    """The list of messages, newest first. ``?before=ID`` and ``?after=ID`` select a page; no query counts messages."""

    users: list[AbstractBaseUser]
    """The users that the search found."""
    may_view_users: bool
    """Whether the reader may search for users by the beginning of their names."""
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
        before, after = (parse_id(request.GET.get(name, "")) for name in ("before", "after"))
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
        """Return the sources of ids for a search: the message with this id, and messages of the user with this name."""
        number = parse_id(self.query)
        sources = [] if number is None else [Ids(Message.objects.filter(pk=number))]
        self.users = find_users(self.query, by_prefix=self.may_view_users)
        if len(self.users) == 1:
            sources += [Ids(Message.objects.filter(**{side: self.users[0]})) for side in ("sender", "recipient")]
        return sources


def find_users(name: str, *, by_prefix: bool) -> list[AbstractBaseUser]:
    """Return the user with this name, in a list.

    If there is none and ``by_prefix`` is true, return at most ``USERS`` users whose names begin with ``name``.
    """
    users = get_user_model()._default_manager
    field = get_user_model().USERNAME_FIELD
    found = list(users.filter(**{field: name})[:USERS])
    if by_prefix and not found:
        found = list(users.filter(**{f"{field}__startswith": name})[:USERS])
    return sorted(found, key=lambda user: user.get_username())


def nearest(sources: Iterable[Ids], size: int, before: int | None, after: int | None) -> list[int]:
    """Return up to ``size`` ids, the greatest ones less than ``before`` or the smallest ones greater than ``after``."""
    found: set[int] = set()
    order = "-" if after is None else ""
    for rows, field in sources:
        limits = {f"{field}__{lookup}": limit for lookup, limit in (("lt", before), ("gt", after)) if limit is not None}
        found.update(rows.filter(**limits).order_by(order + field).values_list(field, flat=True)[:size])
    return sorted(found, reverse=after is None)[:size]
