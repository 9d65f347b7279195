"""Every URL that the app hands out: absolute, and an attachment's with the signature that opens it."""

import hashlib
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin, urlsplit

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import DisallowedHost
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.urls import URLResolver, get_resolver, get_script_prefix, get_urlconf, reverse
from django.utils.encoding import iri_to_uri
from django.utils.translation import get_language

from ossn_messaging.conf import conf
from ossn_messaging.models import Attachment

SIGNATURE = "signature"
"""The parameter of an attachment's URL that opens it."""
USERNAME, SIZE, DIGEST = "~username~", "~size~", "~digest~"
"""Where these stand in the path of an icon."""
FROM, TO = "from", "to"
"""The two sides of a message, as a signature names the one that it was made for."""


def site_root(request: HttpRequest) -> str:
    """Return the site's absolute root, ending in ``/``: ``SITE_URL``, else where the request came to."""
    if conf.SITE_URL:
        return conf.SITE_URL.rstrip("/") + "/"
    root: str | None = getattr(request, "_ossn_messaging_root", None)
    if root is None:
        try:
            root = iri_to_uri(f"{request.scheme}://{request.get_host()}{get_script_prefix()}")
        except DisallowedHost:
            root = get_script_prefix()
        request._ossn_messaging_root = root  # type: ignore[attr-defined]
    return root


def site_name(request: HttpRequest) -> str:
    """Return ``SITE_NAME``, else the host name of the site's root."""
    return conf.SITE_NAME or urlsplit(site_root(request)).hostname or "localhost"


def absolute(request: HttpRequest, path: str) -> str:
    """Return the absolute URL of a path that ``reverse()`` gave, with every reserved character percent-encoded."""
    return site_root(request) + quote(unquote(path.removeprefix(get_script_prefix())))


def icon_hash(username: str, size: str) -> str:
    """Return the part of an icon's URL that the original computes (contract, "Users")."""
    return hashlib.md5(f"{username}{size}".encode(), usedforsecurity=False).hexdigest()


def icon_url(request: HttpRequest, user: AbstractBaseUser, size: str) -> str:
    """Return the URL of a user's icon: the site's own by ``USER_ICON``, else that of the app's default."""
    own = conf.USER_ICON and conf.USER_ICON(user, size, request)
    if own:
        return urljoin(site_root(request), str(own))
    username = str(user.get_username())
    path = _icon_path(get_resolver(get_urlconf()), get_script_prefix(), get_language())
    path = path.replace(DIGEST, icon_hash(username, size)).replace(SIZE, size).replace(USERNAME, quote(username))
    return site_root(request) + path


@lru_cache
def _icon_path(resolver: URLResolver, prefix: str, language: str | None) -> str:
    """Return where icons are below the site's root: to find that out for each took a twelfth of a send's time.

    ``i18n_patterns`` put the language there.
    """
    path = reverse("ossn_messaging:avatar", args=[USERNAME, SIZE, DIGEST])
    return quote(unquote(path.removeprefix(prefix)))


def attachment_url(request: HttpRequest, attachment: Attachment, user_id: int) -> str:
    """Return the URL of an attachment for one of its two users, signed if ``ATTACHMENT_URL_MAX_AGE`` is set."""
    url = absolute(request, reverse("ossn_messaging:attachment", args=[attachment.pk, attachment.name]))
    return url if conf.ATTACHMENT_URL_MAX_AGE is None else f"{url}?{SIGNATURE}={sign(attachment, user_id)}"


def _signed_value(attachment: Attachment, side: str) -> str:
    """What a signature stands for: this file, and no later one that happens to get its number, for this side of it."""
    return f"{attachment.pk}/{attachment.file.name}/{side}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="ossn_messaging.attachment")


def sign(attachment: Attachment, user_id: int) -> str:
    """Return a signature, fit for a query string: for which side it was made, and when."""
    side = FROM if user_id == attachment.message.sender_id else TO
    value = _signed_value(attachment, side)
    return side + _signer().sign(value).removeprefix(value)


def opens(signature: str, attachment: Attachment) -> bool:
    """Whether ``signature`` opens this attachment: it is not too old, and its user may still read the message."""
    message, side = attachment.message, signature.partition(":")[0]
    user = {FROM: message.sender, TO: message.recipient}.get(side)
    if conf.ATTACHMENT_URL_MAX_AGE is None or user is None or not message.is_readable_by(user):
        return False
    try:
        value = _signed_value(attachment, side) + signature.removeprefix(side)
        _signer().unsign(value, max_age=conf.ATTACHMENT_URL_MAX_AGE)
    except BadSignature:
        return False
    return True
