"""The common base of the app's admin pages."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from ossn_messaging.models.users import parse_id

View = Callable[..., Any]


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Return whether the user may see objects of ``model`` in the admin."""
    opts = model._meta
    codenames = (get_permission_codename(action, opts) for action in ("view", "change"))
    return any(request.user.has_perm(f"{opts.app_label}.{codename}") for codename in codenames)


def may_delete_users(request: HttpRequest) -> bool:
    """Return whether the user may delete users in the admin."""
    opts = get_user_model()._meta
    return request.user.has_perm(f"{opts.app_label}.{get_permission_codename('delete', opts)}")


def lines(*texts: str) -> SafeString:
    """Return HTML with each text that is not empty on a separate line."""
    return format_html_join("", "<div>{}</div>", ((text,) for text in texts if text))


def local(moment: datetime) -> datetime:
    """Return a time in the current time zone, or unchanged if the site uses no time zones."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def is_storable(text: str) -> bool:
    """Return whether every database can store ``text``: it has no NUL and no lone surrogate."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def page_limits(request: HttpRequest) -> tuple[int | None, int | None]:
    """Return the numbers in ``?before=`` and ``?after=``, one of which is ``None``; ``after`` has precedence."""
    before, text = parse_id(request.GET.get("before", "")), request.GET.get("after", "")
    after = 0 if text == "0" else parse_id(text)
    return (before, None) if after is None else (None, after)


def reject_malformed_parameters(view: View) -> View:
    """Decorate an admin view to answer 400 to malformed parameters that would make Django raise an exception."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        for name, values in (*request.GET.lists(), *request.POST.lists()):
            if not all(map(is_storable, (name, *values))):
                raise BadRequest("A parameter has a NUL character or a lone surrogate.")
            if name == ACTION_CHECKBOX_NAME and None in map(parse_id, values):
                raise BadRequest("An action is to be done to what is not an ID.")
            if name == "_to_field" and "" in values:
                raise BadRequest("The parameter _to_field is empty.")
        return view(request, *args, **kwargs)

    return wrapper


@method_decorator(reject_malformed_parameters, name="add_view")
@method_decorator(reject_malformed_parameters, name="change_view")
@method_decorator(reject_malformed_parameters, name="changelist_view")
@method_decorator(reject_malformed_parameters, name="delete_view")
@method_decorator(reject_malformed_parameters, name="history_view")
class MessagingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Base of the app's admins: allows only the filters of its list, and rejects malformed parameters."""

    class Media:
        css = {"all": ["ossn_messaging/admin.css"]}

    def page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        """Return a page that is neither a list nor a form of Django's. It needs only the base of an admin theme."""
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/{self.opts.app_label}/{self.opts.model_name}/{template}.html", context)

    def may_search_users(self, request: HttpRequest) -> bool:
        """Return whether the admin of users on this site has a search that the reader may use."""
        users = get_user_model()
        if not self.admin_site.is_registered(users):
            return False
        user_admin = self.admin_site.get_model_admin(users)
        return user_admin.has_view_permission(request) and bool(user_admin.get_search_fields(request))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Return whether a filter of the list uses the lookup. Django allows lookups on fields that are not shown."""
        for list_filter in self.get_list_filter(request):
            if isinstance(list_filter, type) and issubclass(list_filter, admin.SimpleListFilter):
                if lookup == list_filter.parameter_name:
                    return True
            else:  # a site's own subclass may filter by fields
                field: Any = list_filter[0] if isinstance(list_filter, list | tuple) else list_filter
                if f"{lookup}__".startswith(f"{getattr(field, 'name', field)}__"):
                    return super().lookup_allowed(lookup, value, request)
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the results of a search, and none for a text that a database can't store.

        The decorator of the views does not check the search of the autocomplete view.
        """
        if not is_storable(search_term):
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the history in the language of the reader, because the app logs untranslated texts."""
        # Django looks for the object before the permission, and so reveals to all staff which objects exist.
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            for entry in response.context_data["action_list"]:
                entry.change_message = entry.change_message and gettext(entry.change_message)
        return response
