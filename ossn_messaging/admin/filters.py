"""The filters of the lists. Each takes a value that it offers, and no other."""

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

from ossn_messaging.models import APIKey, Attachment, Message

KEYS = 100
"""How many API keys are offered, those made last."""


class Ids(NamedTuple):
    """Rows whose ``field`` is the id of a message, and which an index holds in its order."""

    rows: QuerySet[Any]
    field: str = "pk"


class Choice(NamedTuple):
    label: Any
    condition: Q
    ids: Ids | None = None
    """Finds the same by an index, where there is one."""


class ChoiceFilter(SimpleListFilter):
    """Base of the filters by a condition."""

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
    """Base of the filters by what a message is. Some find it by an index; others are asked of one message at a time."""

    def ids(self) -> Ids | None:
        """Return the ids of all that it lets through, ``None`` where no index holds them."""
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
        "viewed": Choice(_("Viewed"), Q(is_viewed=True)),
        "unviewed": Choice(_("Not viewed"), Q(is_viewed=False)),
        "one": Choice(_("Deleted by one side"), DELETED_BY_ONE, Ids(Message.objects.filter(DELETED_BY_ONE))),
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
    """Days, months and years, as ranges of ids: these grow with time, to within the seconds that a send takes."""

    title = _("time")
    parameter_name = "sent"

    def lookups(self, request: Any, model_admin: Any) -> Iterator[tuple[str, Any]]:
        """Offer the years, and the months and days of what is chosen. Of the messages no more than one is looked at."""
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
        """Return those of the time that is chosen."""
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
        """Return the first day that is chosen, and the one after the last; ``None`` where there is no limit."""
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
    now = timezone.now()
    return (timezone.localtime(now) if timezone.is_aware(now) else now).date()
