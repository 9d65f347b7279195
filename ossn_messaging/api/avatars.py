"""The URLs of avatars, and the default avatars of users without an avatar of the site."""

import hashlib
import io
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.urls import URLResolver, get_resolver, get_script_prefix, get_urlconf, reverse
from django.utils.translation import get_language
from PIL import Image, ImageDraw

from ossn_messaging.api.display import has_username
from ossn_messaging.api.signing import site_root
from ossn_messaging.conf import conf

SIZES = {"small": 100, "smaller": 64}
"""The protocol's names for the sizes of an avatar, with the side length in pixels."""
USERNAME, SIZE, DIGEST = "~username~", "~size~", "~digest~"
"""Placeholders in the cached path of an avatar."""
HUES = 24


def avatar_hash(username: str, size: str) -> str:
    """Return the digest in an avatar's URL, as OSSN computes it: the MD5 of the username followed by the size."""
    return hashlib.md5(f"{username}{size}".encode(), usedforsecurity=False).hexdigest()


def avatar_url(request: HttpRequest, user: AbstractBaseUser, username: str, size: str) -> str:
    """Return the URL of a user's avatar: the result of the site's ``USER_AVATAR``, or the URL of the default avatar.

    The URL of the default avatar contains ``username``, or the id if the user model has no usernames.
    """
    own = conf.USER_AVATAR and conf.USER_AVATAR(user, size, request)
    if own:
        return urljoin(site_root(request), str(own))
    name = username if has_username(user) else str(user.pk)
    path = _avatar_path(get_resolver(get_urlconf()), get_script_prefix(), get_language())
    path = path.replace(DIGEST, avatar_hash(name, size)).replace(SIZE, size).replace(USERNAME, quote(name))
    return site_root(request) + path


@lru_cache
def _avatar_path(resolver: URLResolver, prefix: str, language: str | None) -> str:
    """Return the path of avatars below the site's root, with placeholders.

    It is cached because ``reverse()`` for each avatar took a twelfth of the time of a send. The path depends on the
    language if the site uses ``i18n_patterns``.
    """
    path = reverse("ossn_messaging:avatar", args=[USERNAME, SIZE, DIGEST])
    return quote(unquote(path.removeprefix(prefix)))


def default_avatar(digest: str, size: str) -> bytes:
    """Return a JPEG of a head and shoulders. Its colour depends on ``digest``, which is a hexadecimal number."""
    return _draw(int(digest, 16) % HUES, SIZES[size])


@lru_cache(maxsize=HUES * len(SIZES))
def _draw(hue: int, side: int) -> bytes:
    ground, figure = (f"hsl({360 * hue // HUES}, 40%, {lightness}%)" for lightness in (45, 90))
    image = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(image)
    draw.ellipse([side * 0.32, side * 0.18, side * 0.68, side * 0.54], fill=figure)
    draw.ellipse([side * 0.14, side * 0.62, side * 0.86, side * 1.4], fill=figure)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
