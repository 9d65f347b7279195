"""Keys and attachments' signatures kept out of logs, error reports and debug pages.

Nothing here needs settings when it is imported: gunicorn and ``LOGGING`` name it before there are any.
"""

import copy
import functools
import html
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus

from django.http import HttpRequest
from django.utils.log import AdminEmailHandler
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, get_exception_reporter_class

MASK = "********"
PARAMETERS = ("api_key_token", "signature")
"""The parameters whose values are masked."""
SHORTEST = 4
"""What a request gives as its key is masked by its name alone where it has fewer characters: ``a`` is everywhere."""
LOGGERS = (
    "django.request",
    "django.security.csrf",
    "django.server",
    "django.channels.server",
    "gunicorn.access",
    "gunicorn.error",
    "hypercorn.access",
    "hypercorn.error",
    "uvicorn.access",
    "uvicorn.error",
    "ossn_messaging.envelope",
    "ossn_messaging.managers",
    "ossn_messaging.storage",
)
"""Those that write of requests; a logger's filter sees what is logged by this very logger."""


def _encoded(name: str) -> str:
    """Return a pattern of ``name``, each character of which may be percent-encoded, even more than once."""
    return "".join(rf"(?:{re.escape(character)}|%(?:25)*{ord(character):02x})" for character in name)


_NAME = f"(?:{'|'.join(map(_encoded, PARAMETERS))})"
_QUOTE = r"\\*[\"']"
_END = rf"{_QUOTE}(?=[\s,\])}}>]|$)"  # any other quote may be a part of the value
_LINE = r"(?:\r?\n|(?:\\+r)?\\+n)"  # as it is, or as repr() shows it
_SECRET = re.compile(
    rf"""
    # in a query or a form; a query within a parameter of another ends where that does
    (?P<query> {_NAME} (?: = | %(?P<depth>(?:25)*)3d ) ) (?: (?! {_END} | %(?P=depth)26 ) [^\s&] )+
    # in JSON or a dict
    | (?P<item> {_QUOTE}{_NAME}{_QUOTE} \s*:\s* [\[(]? \s* b? (?P<quote>{_QUOTE}) )
      (?: (?!(?P=quote)) (?: \\. | . ) )+
    # in a multipart body
    | (?P<part> name={_QUOTE}{_NAME}{_QUOTE} (?: (?!{_LINE}{_LINE}) . ){{0,500}} {_LINE}{_LINE} ) (?: (?!{_LINE}) . )+
    # in a header
    | (?P<header> api-key (?: \s | \+ | %(?:25)*20 )+ ) (?! realm= ) (?: (?! {_END} ) \S )+
    # a key of the app's own, anywhere; names in the database look like one, but have no capital letters
    | (?-i: ossn (?: _ | %(?:25)*5[Ff] ) (?= [a-z0-9_%-]{{0,42}} [A-Z] )
      (?: [A-Za-z0-9_-] | %(?:25)*(?: 5[Ff] | 2[Dd] ) ){{43}} )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_HINTS = ("%", "ossn", "api_key", "api-key", "signature")
"""No secret is in a text that has none of these."""


def _replacement(found: re.Match[str]) -> str:
    return "".join(filter(None, found.group("query", "item", "part", "header"))) + MASK


def mask(text: str) -> str:
    """Return ``text`` without the keys and signatures that are known by their form or by the name before them."""
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            return _SECRET.sub(_replacement, text)
    return text


class MaskSecrets(logging.Filter):
    """Lets every record pass, masked: its message, arguments, traceback and stack."""

    formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = self._masked_atoms(record.args)
        self._mask_message(record)
        if record.exc_info and not record.exc_text:
            text = self.formatter.formatException(record.exc_info)
            masked = mask(text)
            if masked != text:  # or the handlers' formatters go on to show it in their own way
                record.exc_text = masked
        elif record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True

    def _mask_message(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # the handler says so, with the message and the arguments as they are
            record.msg, record.args = mask(str(record.msg)), (mask(str(record.args)),)
            return
        masked = mask(message)
        if masked == message:
            return
        if isinstance(record.args, tuple):  # some formatters take the arguments of a request line one by one
            record.args = tuple(mask(value) if isinstance(value, str) else value for value in record.args)
        if record.getMessage() != masked:
            record.msg, record.args = masked, ()

    def _masked_atoms(self, atoms: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments by name, such as those of gunicorn's access log, of their own class."""
        texts = "\n".join(value for value in atoms.values() if isinstance(value, str))
        if mask(texts) == texts:
            return atoms
        masked: Any = copy.copy(atoms)
        for name, value in atoms.items():
            if isinstance(value, str):
                masked[name] = mask(value)
        return masked  # type: ignore[no-any-return]


_FILTER = MaskSecrets()


class Hidden:
    """A text that does not show itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return MASK


class Shown:
    """What stands in a report for a variable."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class MaskingExceptionReporter(ExceptionReporter):
    """Django's error reports and debug pages, with the key of the request masked wherever it stands."""

    def __init__(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        forms = {form for secret in _secrets(request) if len(secret) >= SHORTEST for form in _forms(secret)}
        self._known = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))) or "(?!)")

    def mask(self, text: str) -> str:
        return mask(self._known.sub(MASK, text))

    def get_traceback_frames(self) -> list[dict[str, Any]]:
        frames: list[dict[str, Any]] = super().get_traceback_frames()
        for frame in frames:
            if "vars" in frame:
                frame["vars"] = [(name, self._shown(value)) for name, value in frame["vars"]]
        return frames

    def _shown(self, value: Any) -> Any:
        """Return ``value``, or what to show for it: Django would break a long one into lines, and a key with it."""
        try:
            text = repr(value)
        except Exception:  # Django says so
            return value
        masked = self.mask(text)
        return value if masked == text else Shown(masked)

    def get_traceback_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().get_traceback_data()
        for table in ("request_GET_items", "filtered_POST_items"):
            data[table] = [(name, MASK if name in PARAMETERS else value) for name, value in data.get(table, ())]
        return data

    def get_traceback_html(self) -> SafeString:
        return SafeString(re.sub(r"[^<>]+", self._masked_html, super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(self.mask(super().get_traceback_text()))

    def _masked_html(self, found: re.Match[str]) -> str:
        text = html.unescape(found[0])
        masked = self.mask(text)
        return found[0] if masked == text else html.escape(masked)


def _forms(secret: str) -> set[str]:
    """Return how a secret may stand in a report: as it is, quoted by Python, in JSON, and percent-encoded."""
    encoded = secret.encode("utf-8", "surrogatepass")
    quoted = {repr(secret)[1:-1], repr(encoded)[2:-1], json.dumps(secret)[1:-1], quote(encoded, ""), quote(encoded)}
    return {secret, quote_plus(encoded), *quoted}


def _secrets(request: HttpRequest | None) -> set[str]:
    """Return the keys and signatures of a request that may be broken in any way."""
    found: list[Any] = [hidden.text for hidden in getattr(request, "_ossn_messaging_keys", ())]
    for source in (_in_header, _in_query, _in_form, _in_json):
        with suppress(Exception):
            found += source(request)
    return {secret for secret in found if isinstance(secret, str)}


def _in_header(request: Any) -> list[str]:
    return list(request.META["HTTP_AUTHORIZATION"].split()[1:])


def _in_query(request: Any) -> Iterator[str]:
    return (value for name in PARAMETERS for value in request.GET.getlist(name))


def _in_form(request: Any) -> Iterator[str]:
    return (value for name in PARAMETERS for value in request.POST.getlist(name))


def _in_json(request: Any) -> list[Any]:
    return [json.loads(request._body)[PARAMETERS[0]]]  # where it was read already: a report waits for no client


@functools.cache
def masking(reporter: Any) -> type[MaskingExceptionReporter]:
    """Return a class of reports that does what ``reporter`` does, and masks it."""
    if not (isinstance(reporter, type) and issubclass(reporter, ExceptionReporter)):
        return MaskingExceptionReporter  # nothing is known of what it does
    if issubclass(reporter, MaskingExceptionReporter):
        return reporter
    return type("MaskingExceptionReporter", (MaskingExceptionReporter, reporter), {})


def mask_reports(request: Any) -> None:
    """Let the debug page of this request be masked, whatever class of reports the site has."""
    request.exception_reporter_class = masking(get_exception_reporter_class(request))


def remember(request: Any, key: str) -> None:
    """Let reports of this request mask ``key``, wherever it was found."""
    request._ossn_messaging_keys = [*getattr(request, "_ossn_messaging_keys", ()), Hidden(key)]


def mask_logs() -> None:
    """Mask what ``LOGGERS`` log, and the error mails of every handler that there is."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, AdminEmailHandler):
                reporter: Any = handler.reporter_class
                handler.reporter_class = masking(reporter)
