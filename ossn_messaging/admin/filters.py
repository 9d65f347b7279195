"""The filters of the lists. Each accepts only the values that it offers."""

import calendar
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from ossn_messaging.admin.base import local
from ossn_messaging.models import APIKey, Attachment, Message

KEYS = 100
"""The maximum number of API keys that the filter offers, the newest first."""


class Ids(NamedTuple):
    """Rows whose ``field`` is the id of a message. An index has them in the order of ``field``."""

    rows: QuerySet[Any]
    field: str = "pk"


class Choice(NamedTuple):
    """A value of a filter."""

    label: Any
    condition: Q
    ids: Ids | None = None
    """The same messages from an index, or ``None`` if no index has them."""


class ChoiceFilter(SimpleListFilter):
    """Base of the filters that offer a fixed set of conditions."""

    offers: dict[str, Choice] = {}

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, choice.label) for value, choice in self.offers.items()]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value not in self.offers:
            raise IncorrectLookupParameters
        return queryset.filter(self.offers[value].condition)


class MessageFilter(ChoiceFilter):
    """Base of the filters of messages. Some choices use an index; the condition of others is checked per message."""

    def ids(self) -> Ids | None:
        """Return the ids of all messages that match the chosen value, or ``None`` if no index has them."""
        return self.offers[str(self.value())].ids


class AttachmentFilter(MessageFilter):
    title = _("attachment")
    parameter_name = "attachment"
    offers = {
        "yes": Choice(_("With attachment"), Q(attachment__isnull=False), Ids(Attachment.objects.all(), "message_id")),
        "no": Choice(_("Without attachment"), Q(attachment__isnull=True)),
    }


DELETED_BY_ONE = Q(deleted_by_sender=True) | Q(deleted_by_recipient=True)
DELETED_FOR_BOTH = Q(deleted_at__isnull=False)


class StateFilter(MessageFilter):
    title = _("state")
    parameter_name = "state"
    offers = {
        "viewed": Choice(_("Read"), Q(is_read=True)),
        "unviewed": Choice(_("Not read"), Q(is_read=False)),
        "one": Choice(_("Deleted by one user"), DELETED_BY_ONE, Ids(Message.objects.filter(DELETED_BY_ONE))),
        "both": Choice(_("Deleted for both"), DELETED_FOR_BOTH, Ids(Message.objects.filter(DELETED_FOR_BOTH))),
    }


class KeyFilter(MessageFilter):
    title = _("API key")
    parameter_name = "key"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        self.offers = {
            str(pk): Choice(name, Q(api_key=pk), Ids(Message.objects.filter(api_key=pk)))
            for pk, name in APIKey.objects.order_by("-pk").values_list("pk", "name")[:KEYS]
        }
        return super().lookups(request, model_admin)


class TimeFilter(SimpleListFilter):
    """A filter by day, month or year, as a range of ids. Ids grow with time, exact to the seconds that a send takes."""

    title = _("time")
    parameter_name = "sent"

    def lookups(self, request: Any, model_admin: Any) -> Iterator[tuple[str, Any]]:
        """Yield the years, and the months and days of the chosen year and month. The query reads only one message."""
        yield "today", _("Today")
        yield "week", _("Past 7 days")
        chosen = self.value() or ""
        last = _today()
        first = Message.objects.order_by("pk").values_list("created_at", flat=True).first()
        for year in range(last.year, first.year - 1 if first else last.year, -1):
            yield f"{year}", f"{year}"
            if chosen[:4] != f"{year}":
                continue
            for month in range(1, 13):
                yield f"{year}-{month:02}", date_format(date(year, month, 1), "YEAR_MONTH_FORMAT")
                if chosen[:7] != f"{year}-{month:02}":
                    continue
                for day in range(1, calendar.monthrange(year, month)[1] + 1):
                    yield f"{year}-{month:02}-{day:02}", date_format(date(year, month, day), "MONTH_DAY_FORMAT")

    def queryset(self, request: Any, queryset: QuerySet[Message]) -> QuerySet[Message]:
        if self.value() not in (None, *dict(self.lookup_choices)):
            raise IncorrectLookupParameters
        return queryset

    def within(self, ids: Ids) -> Ids:
        """Return the ids of the chosen time."""
        limits = {f"{ids.field}__{lookup}": limit for lookup, limit in self._limits.items()}
        return ids._replace(rows=ids.rows.filter(**limits))

    @cached_property
    def _limits(self) -> dict[str, int]:
        limits = {}
        for lookup, day in zip(("gte", "lt"), self._days(), strict=True):
            if day:
                moment = datetime.combine(day, time.min)
                limits[lookup] = Message.objects.first_id_since(
                    timezone.make_aware(moment) if settings.USE_TZ else moment
                )
        return limits

    def _days(self) -> tuple[date | None, date | None]:
        """Return the first day of the chosen time and the day after the last, each ``None`` if there is no limit."""
        value = self.value()
        if value is None:
            return None, None
        if value in ("today", "week"):
            return _today() - timedelta(days=7 if value == "week" else 0), None
        year, month, day = (*map(int, value.split("-")), 0, 0)[:3]
        first = date(year, month or 1, day or 1)
        return first, first + timedelta(days=1) if day else date(year + (month in (0, 12)), month % 12 + 1, 1)


class KeyStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        now = timezone.now()
        is_revoked, is_expired = Q(revoked_at__isnull=False), Q(expires_at__isnull=False, expires_at__lte=now)
        self.offers = {
            "active": Choice(_("Active"), ~is_revoked & ~is_expired),
            "expired": Choice(_("Expired"), ~is_revoked & is_expired),
            "revoked": Choice(_("Revoked"), is_revoked),
        }
        return super().lookups(request, model_admin)


class KeyUseFilter(ChoiceFilter):
    title = _("last used at")
    parameter_name = "used"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        week_ago = timezone.now() - timedelta(days=7)
        self.offers = {
            "week": Choice(_("Past 7 days"), Q(last_used_at__gte=week_ago)),
            "before": Choice(_("More than 7 days ago"), Q(last_used_at__lt=week_ago)),
            "never": Choice(_("Never"), Q(last_used_at__isnull=True)),
        }
        return super().lookups(request, model_admin)


def _today() -> date:
    return local(timezone.now()).date()
