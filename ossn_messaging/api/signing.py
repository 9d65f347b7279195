"""Absolute URLs for the API's responses, and the signatures of attachment URLs."""

from urllib.parse import quote, unquote, urlsplit

from django.core.exceptions import DisallowedHost
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils.encoding import iri_to_uri

from ossn_messaging.conf import conf
from ossn_messaging.models import Attachment

SIGNATURE = "signature"
"""The query parameter with the signature of an attachment's URL."""
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


def attachment_url(request: HttpRequest, attachment: Attachment, user_id: int) -> str:
    """Return the URL of an attachment for the sender or recipient ``user_id``.

    It is signed unless ``ATTACHMENT_URL_MAX_AGE`` is ``None``.
    """
    url = build_absolute_uri(request, attachment.get_absolute_url())
    return url if conf.ATTACHMENT_URL_MAX_AGE is None else f"{url}?{SIGNATURE}={sign(attachment, user_id)}"


def _signed_value(attachment: Attachment, role: str) -> str:
    """Return the signed text: the attachment's id, the name of its stored file, and the user that it is for.

    Because the name is signed, the signature is not valid for a later attachment with the same id.
    """
    return f"{attachment.pk}/{attachment.file.name}/{role}"


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="ossn_messaging.attachment")


def sign(attachment: Attachment, user_id: int) -> str:
    """Return a signature for a query string: ``from`` or ``to``, the time, and the digest."""
    role = FROM if user_id == attachment.message.sender_id else TO
    value = _signed_value(attachment, role)
    return role + _signer().sign(value).removeprefix(value)


def verify_signature(signature: str, attachment: Attachment) -> bool:
    """Return whether ``signature`` is valid for this attachment, and the user that it names may still read the message.

    A signature is not valid if it is older than ``ATTACHMENT_URL_MAX_AGE`` seconds, or if that setting is ``None``.
    """
    message, role = attachment.message, signature.partition(":")[0]
    user = {FROM: message.sender, TO: message.recipient}.get(role)
    if conf.ATTACHMENT_URL_MAX_AGE is None or user is None or not message.is_readable_by(user):
        return False
    try:
        value = _signed_value(attachment, role) + signature.removeprefix(role)
        _signer().unsign(value, max_age=conf.ATTACHMENT_URL_MAX_AGE)
    except BadSignature:
        return False
    return True
