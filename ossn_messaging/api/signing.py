"""Absolute URLs for the API's responses, and the signatures of attachment URLs."""

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
"""The query parameter with the signature of an attachment's URL."""
USERNAME, SIZE, DIGEST = "~username~", "~size~", "~digest~"
"""Placeholders in the cached path of an avatar."""
FROM, TO = "from", "to"
"""Prefixes of a signature: it was made for the sender (``from``) or the recipient (``to``) of the message."""


def site_root(request: HttpRequest) -> str:
    """Return the absolute URL of the site's root with a final ``/``: ``SITE_URL``, or the root of the request.

    If the request's host is not in ``ALLOWED_HOSTS``, return the root without scheme and host.
    """
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
    """Return ``SITE_NAME``, or the host name of the site's root, or "localhost"."""
    return conf.SITE_NAME or urlsplit(site_root(request)).hostname or "localhost"


def build_absolute_uri(request: HttpRequest, path: str) -> str:
    """Return the absolute URL of a path from ``reverse()``, with every reserved character but ``/`` percent-encoded."""
    return site_root(request) + quote(unquote(path.removeprefix(get_script_prefix())))


def avatar_hash(username: str, size: str) -> str:
    """Return the digest in an avatar's URL, as OSSN computes it: the MD5 of the username followed by the size."""
    return hashlib.md5(f"{username}{size}".encode(), usedforsecurity=False).hexdigest()


def avatar_url(request: HttpRequest, user: AbstractBaseUser, size: str) -> str:
    """Return the URL of a user's avatar: the result of the site's ``USER_AVATAR``, or the URL of the default avatar."""
    own = conf.USER_AVATAR and conf.USER_AVATAR(user, size, request)
    if own:
        return urljoin(site_root(request), str(own))
    username = str(user.get_username())
    path = _icon_path(get_resolver(get_urlconf()), get_script_prefix(), get_language())
    path = path.replace(DIGEST, avatar_hash(username, size)).replace(SIZE, size).replace(USERNAME, quote(username))
    return site_root(request) + path


@lru_cache
def _icon_path(resolver: URLResolver, prefix: str, language: str | None) -> str:
    """Return the path of avatars below the site's root, with placeholders.

    It is cached because ``reverse()`` for each avatar took a twelfth of the time of a send. The path depends on the
    language if the site uses ``i18n_patterns``.
    """
    path = reverse("ossn_messaging:avatar", args=[USERNAME, SIZE, DIGEST])
    return quote(unquote(path.removeprefix(prefix)))


def attachment_url(request: HttpRequest, attachment: Attachment, user_id: int) -> str:
    """Return the URL of an attachment for the sender or recipient ``user_id``.

    It is signed unless ``ATTACHMENT_URL_MAX_AGE`` is ``None``.
    """
    url = build_absolute_uri(request, reverse("ossn_messaging:attachment", args=[attachment.pk, attachment.name]))
    return url if conf.ATTACHMENT_URL_MAX_AGE is None else f"{url}?{SIGNATURE}={sign(attachment, user_id)}"


def _signed_value(attachment: Attachment, side: str) -> str:
    """Return the signed text: the attachment's id, the name of its stored file, and the side of the message.

    Because the name is signed, the signature is not valid for a later attachment with the same id.
    """
    return f"{attachment.pk}/{attachment.file.name}/{side}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="ossn_messaging.attachment")


def sign(attachment: Attachment, user_id: int) -> str:
    """Return a signature for a query string: ``from`` or ``to``, the time, and the digest."""
    side = FROM if user_id == attachment.message.sender_id else TO
    value = _signed_value(attachment, side)
    return side + _signer().sign(value).removeprefix(value)


def verify_signature(signature: str, attachment: Attachment) -> bool:
    """Return whether ``signature`` is valid for this attachment, and the user that it names may still read the message.

    A signature is not valid if it is older than ``ATTACHMENT_URL_MAX_AGE`` seconds, or if that setting is ``None``.
    """
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
