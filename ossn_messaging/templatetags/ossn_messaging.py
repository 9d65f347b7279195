"""Template tags: ``{% load ossn_messaging %}``."""

from django import template
from django.template.context import Context

from ossn_messaging.context_processors import unread

register = template.Library()


@register.simple_tag(takes_context=True)
def unread_count(context: Context) -> int:
    """Return how many messages the logged-in user has not read, or 0 if the context has no ``request``."""
    request = context.get("request")
    return unread(request)["ossn_unread"].messages if request else 0
