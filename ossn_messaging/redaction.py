"""Keys and attachments' signatures kept out of logs, error reports and debug pages.

Nothing here needs settings when it is imported: gunicorn and ``LOGGING`` name it before there are any.
"""

import copy
import functools
import html
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus

from django.http import HttpRequest
from django.utils.log import AdminEmailHandler
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, get_exception_reporter_class

REDACTED = "********"
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
Redactor = Callable[[str], str]
_HINTS = ("%", "ossn", "api_key", "api-key", "signature")
"""No secret is in a text that has none of these."""


def _replacement(found: re.Match[str]) -> str:
    return "".join(filter(None, found.group("query", "item", "part", "header"))) + REDACTED


def redact(text: str) -> str:
    """Return ``text`` without the keys and signatures that are known by their form or by the name before them."""
    lower = text.lower()
    for hint in _HINTS:
        if hint in lower:
            return _SECRET.sub(_replacement, text)
    return text


class RedactSecretsFilter(logging.Filter):
    """Lets every record pass, masked: its message, arguments, traceback and stack.

    Where Django has put the request into the record, the very key of that request is masked wherever it stands.
    """

    formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        masked = redact if request is None else redactor_for(request)
        if isinstance(record.args, Mapping):
            record.args = _masked_atoms(record.args, masked)
        _mask_message(record, masked)
        if record.exc_info and not record.exc_text:
            text = self.formatter.formatException(record.exc_info)
            if masked(text) != text:  # or the handlers' formatters go on to show it in their own way
                record.exc_text = text
        if record.exc_text:
            record.exc_text = masked(record.exc_text)
        if record.stack_info:
            record.stack_info = masked(record.stack_info)
        return True


def _mask_message(record: logging.LogRecord, masked: Redactor) -> None:
    try:
        message = record.getMessage()
    except Exception:  # the handler says so, with the message and the arguments as they are
        record.msg, record.args = masked(str(record.msg)), (masked(str(record.args)),)
        return
    shown = masked(message)
    if shown == message:
        return
    if isinstance(record.args, tuple):  # some formatters take the arguments of a request line one by one
        record.args = tuple(masked(value) if isinstance(value, str) else value for value in record.args)
    if record.getMessage() != shown:
        record.msg, record.args = shown, ()


def _masked_atoms(atoms: Mapping[str, Any], masked: Redactor) -> Mapping[str, Any]:
    """Return the arguments by name, such as those of gunicorn's access log, in a mapping of the same class."""
    texts = "\n".join(value for value in atoms.values() if isinstance(value, str))
    if masked(texts) == texts:
        return atoms
    copied: Any = copy.copy(atoms)
    for name, value in atoms.items():
        if isinstance(value, str):
            copied[name] = masked(value)
    return copied  # type: ignore[no-any-return]


_FILTER = RedactSecretsFilter()


class SecretStr:
    """A text that does not show itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return REDACTED


class RawRepr:
    """What stands in a report for a variable."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class RedactingExceptionReporter(ExceptionReporter):
    """Django's error reports and debug pages, with the key of the request masked wherever it stands."""

    def __init__(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.redact = redactor_for(request)

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
        masked = self.redact(text)
        return value if masked == text else RawRepr(masked)

    def get_traceback_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().get_traceback_data()
        for table in ("request_GET_items", "filtered_POST_items"):
            data[table] = [(name, REDACTED if name in PARAMETERS else value) for name, value in data.get(table, ())]
        return data

    def get_traceback_html(self) -> SafeString:
        return SafeString(re.sub(r"[^<>]+", self._masked_html, super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(self.redact(super().get_traceback_text()))

    def _masked_html(self, found: re.Match[str]) -> str:
        text = html.unescape(found[0])
        masked = self.redact(text)
        return found[0] if masked == text else html.escape(masked)


def redactor_for(request: object) -> Redactor:
    """Return a ``redact()`` that knows the keys and signatures of a request as well."""
    forms = {form for secret in _secrets(request) if len(secret) >= SHORTEST for form in encoded_variants(secret)}
    if not forms:
        return redact
    known = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
    return lambda text: redact(known.sub(REDACTED, text))


def encoded_variants(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, in JSON, percent-encoded, and quoted by Python, even twice."""
    encoded = secret.encode("utf-8", "surrogatepass")
    in_json = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    forms = {secret, *in_json, quote(encoded), quote(encoded, ""), quote_plus(encoded)}
    for _ in range(2):
        forms |= {quoted for form in forms for quoted in _quoted(form)}
    return forms


def _quoted(text: str) -> set[str]:
    """Return what ``repr()`` makes of a text and its bytes, within either kind of quotes."""
    both = "'\""  # makes repr() take the single ones and escape them
    shown = {repr(text + both)[1:-4], repr((text + both).encode("utf-8", "surrogatepass"))[2:-4]}
    return shown | {form.replace("\\'", "'") for form in shown}


def _secrets(request: object) -> set[str]:
    """Return the keys and signatures of a request that may be broken in any way, as far as it has been read."""
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
    if not (hasattr(request, "_post") or hasattr(request, "_body")):
        return iter(())
    return (value for name in PARAMETERS for value in request.POST.getlist(name))


def _in_json(request: Any) -> list[Any]:
    return [json.loads(request._body)[PARAMETERS[0]]]


@functools.cache
def redacting_reporter(reporter: Any) -> type[RedactingExceptionReporter]:
    """Return a class of reports that does what ``reporter`` does, and masks it."""
    if not (isinstance(reporter, type) and issubclass(reporter, ExceptionReporter)):
        return RedactingExceptionReporter  # nothing is known of what it does
    if issubclass(reporter, RedactingExceptionReporter):
        return reporter
    return type("RedactingExceptionReporter", (RedactingExceptionReporter, reporter), {})


def use_redacting_reporter(request: Any) -> None:
    """Let the debug page of this request be masked, whatever class of reports the site has."""
    request.exception_reporter_class = redacting_reporter(get_exception_reporter_class(request))


def register_secret(request: Any, key: str) -> None:
    """Let reports of this request redact ``key``, wherever it was found."""
    request._ossn_messaging_keys = [*getattr(request, "_ossn_messaging_keys", ()), SecretStr(key)]


def redact_logs() -> None:
    """Mask what ``LOGGERS`` log, and the error mails of every handler that there is."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, AdminEmailHandler):
                reporter: Any = handler.reporter_class
                handler.reporter_class = redacting_reporter(reporter)
