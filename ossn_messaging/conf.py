"""The settings of the app in the dict ``OSSN_MESSAGING``. They are read each time they are used."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.module_loading import import_string

from ossn_messaging.attachments import file_types

T = TypeVar("T")

THROTTLED = ("key", "sender", "failed_auth")
"""The scopes of ``THROTTLE_RATES``: of each API key or member, of each sender, wrong keys of each address."""
RATE = re.compile(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)")
MIN_INSPECTION_MEMORY = 256 * 1024 * 1024
"""In bytes. With less memory, an inspection process could not load its libraries."""


def configured() -> Mapping[str, Any]:
    """Return the site's dict ``OSSN_MESSAGING``, or an empty dict if the site has none."""
    return getattr(settings, "OSSN_MESSAGING", {})


class Setting(Generic[T]):
    """A key of ``OSSN_MESSAGING`` with its default and the test of its values."""

    name: str

    def __init__(self, default: T, accepts: Callable[[Any], bool], expected: str) -> None:
        self.default = default
        self.accepts = accepts
        self.expected = expected

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> T:
        value: T = configured().get(self.name, self.default)
        return value


class CallableSetting(Setting[Callable[..., Any] | None]):
    """A setting whose value is a dotted path to a callable of the site, or ``None``."""

    def __init__(self) -> None:
        super().__init__(None, _is_text_or_none, "a dotted path to a callable, or None")

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., Any] | None:
        path = configured().get(self.name)
        return None if path is None else import_string(path)

    def paths(self, value: Any) -> Collection[str]:
        """Return the dotted paths of an accepted value."""
        return () if value is None else (value,)


class CallablesSetting(Setting[Collection[Callable[..., Any]]]):
    """A setting whose value is a list of dotted paths to callables of the site."""

    def __init__(self) -> None:
        super().__init__((), _are_texts, "a list of dotted paths to callables")

    def __get__(self, instance: object, owner: type | None = None) -> Collection[Callable[..., Any]]:
        return [import_string(path) for path in configured().get(self.name, self.default)]

    def paths(self, value: Any) -> Collection[str]:
        """Return the dotted paths of an accepted value."""
        paths: Collection[str] = value
        return paths


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_natural(value: Any) -> bool:
    return (value == 0 and not isinstance(value, bool | float)) or _is_positive(value)


def _is_text_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _is_url_or_none(value: Any) -> bool:
    try:
        return value is None or (urlsplit(value).scheme in ("http", "https") and bool(urlsplit(value).hostname))
    except (ValueError, TypeError, AttributeError):
        return False


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)


def _are_extensions(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(item, str) and item in file_types.BY_EXTENSION for item in value
    )


def _are_rates(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in THROTTLED and isinstance(rate, str) and RATE.fullmatch(rate) for name, rate in value.items()
    )


def _is_location_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.startswith("/") and value.endswith("/"))


class Settings:
    """The settings. Each attribute of an instance returns the current value."""

    SITE_NAME = Setting[str | None](None, _is_text_or_none, "a text, or None for the site's host name")
    SITE_URL = Setting[str | None](None, _is_url_or_none, "a URL with http:// or https://, or None for the request's")
    ENABLED = Setting(True, _is_bool, "True or False")
    HTTP_STATUS = Setting("ossn", lambda value: value in ("ossn", "rest"), "'ossn' or 'rest'")
    MESSAGE_FORMAT = Setting("html", lambda value: value in ("html", "text"), "'html' or 'text'")
    ALLOW_GET = Setting(True, _is_bool, "True or False")
    SESSION_API = Setting(False, _is_bool, "True or False")
    PAGE_SIZE = Setting(10, _is_positive, "a whole number of messages above 0")
    MAX_MESSAGE_LENGTH = Setting(100_000, _is_positive, "a whole number of characters above 0")
    ATTACHMENT_EXTENSIONS = Setting[Collection[str]](
        tuple(file_types.BY_EXTENSION), _are_extensions, f"a list of some of {', '.join(file_types.BY_EXTENSION)}"
    )
    ATTACHMENT_MAX_SIZE = Setting(25 * 1024 * 1024, _is_positive, "a whole number of bytes above 0")
    ATTACHMENT_ACTIVE_CONTENT = Setting(
        "standard", lambda value: value in ("strict", "standard", "allow"), "'strict', 'standard' or 'allow'"
    )
    IMAGE_MAX_PIXELS = Setting(120_000_000, _is_positive, "a whole number of pixels above 0")
    INSPECTION_PROCESSES = Setting(1, _is_natural, "a whole number of processes, or 0 to inspect in the web worker")
    INSPECTION_MEMORY = Setting(
        1024 * 1024 * 1024,
        lambda value: _is_positive(value) and value >= MIN_INSPECTION_MEMORY,
        f"a whole number of bytes, at least {MIN_INSPECTION_MEMORY}",
    )
    INSPECTION_PROCESSOR_SECONDS = Setting(10, _is_positive, "a whole number of seconds above 0")
    ATTACHMENT_VALIDATORS = CallablesSetting()
    ATTACHMENT_URL_MAX_AGE = Setting[int | None](
        24 * 60 * 60,
        lambda value: value is None or _is_positive(value),
        "a whole number of seconds above 0, or None for URLs without a signature",
    )
    ATTACHMENT_PREFIX = CallableSetting()
    X_ACCEL_REDIRECT = Setting[str | None](
        None, _is_location_or_none, "the path of an internal location of nginx, with / at both ends, or None"
    )
    USER_DISPLAY = CallableSetting()
    USER_AVATAR = CallableSetting()
    CAN_SEND = CallableSetting()
    IS_ONLINE = CallableSetting()
    THROTTLE_RATES = Setting[Mapping[str, str]](
        {}, _are_rates, f"a dict of rates such as '60/min' or '1000/day', under some of {', '.join(THROTTLED)}"
    )
    NUM_PROXIES = Setting(0, _is_natural, "how many proxies before the site name their client in X-Forwarded-For")

    @classmethod
    def all(cls) -> dict[str, Setting[Any]]:
        """Return the ``Setting`` of every key of ``OSSN_MESSAGING`` by name, in the order of the page "Settings"."""
        return {name: setting for name, setting in vars(cls).items() if isinstance(setting, Setting)}


conf = Settings()
