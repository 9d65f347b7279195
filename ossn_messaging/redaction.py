"""Keep API keys and attachment signatures out of logs, error reports and debug pages.

Nothing here needs settings when it is imported: gunicorn and ``LOGGING`` name the filter before there are any.

All of it reads what anybody may send, so the time must be linear in its length: no pattern is built from a request,
each repetition in a pattern has a bound, and no two attempts of a pattern go over the same long run of characters.
"""

import functools
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any
from urllib.parse import quote, quote_plus

from django.http import HttpRequest
from django.utils.log import AdminEmailHandler
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, get_exception_reporter_class

REDACTED = "********"
PARAMETERS = ("api_key_token", "signature")
"""The parameters whose values are secrets."""
MIN_SECRET_LENGTH = 8
"""A shorter key is redacted only where its name stands before it: it may be a part of any word."""
MAX_SECRET_LENGTH = 512
"""A longer key is not valid."""
MAX_SECRETS = 8
"""How many values of one request are redacted wherever they stand."""
MAX_TEXT_LENGTH = 16 * 1024
"""How much of a message is written to a log, and of a value to a report."""
MAX_ARGUMENT_LENGTH = 8 * 1024
"""How much of an argument of a log message is written."""
MAX_TRACEBACK_LENGTH = 256 * 1024
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
    "ossn_messaging.api.envelope",
    "ossn_messaging.attachments.inspection",
    "ossn_messaging.models.attachments",
    "ossn_messaging.storage",
)
"""The loggers that write about requests. A logger's filter sees only what is logged by this very logger."""


def _encoded(name: str) -> str:
    """Return a pattern of a name whose first character was just read; any may be percent-encoded, up to four times."""
    code = [rf"(?:25){{0,3}}{ord(character):02x}" for character in name]
    rest = "".join(rf"(?:{character}|%{code})" for character, code in zip(name[1:], code[1:], strict=True))
    return rf"(?: (?<={name[0]}) | (?<=%){code[0]} ) {rest}"


_NAME = f"(?: {' | '.join(map(_encoded, PARAMETERS))} )"
_MANY = f"{{1,{MAX_TEXT_LENGTH}}}"  # no valid secret is longer, however often it is encoded
_SPACE = r"\s{0,200}+"
_QUOTE = r"\\{0,15}+[\"']"  # JSON in repr() of repr() has seven backslashes before a quote
_AFTER_VALUE = r"(?=[\s,;:\])}>]|$)"  # any other quote may be a part of the value
_LINE = r"(?:\r?\n|(?:\\{1,15}+r)?\\{1,15}+n)"  # as it is, or as repr() shows it
_OWN_KEY = r"""
    # names in the database look like a key of the app's own, but have no capital letters
    (?<=o) ssn (?: _ | %(?:25){0,3}5[Ff] ) (?= [a-z0-9_%-]{0,42}+ [A-Z] )
    (?: [A-Za-z0-9_-] | %(?:25){0,3}(?: 5[Ff] | 2[Dd] ) ){43}
"""
_own_key = re.compile(f"o{_OWN_KEY}", re.VERBOSE)
_secret = re.compile(
    rf"""
    [A-Zaos%/]  # the first character of all that follows: the others are passed over quickly
    (?:
      # The path of a request stays readable, up to the query.
      (?: (?<=\A/) | (?<![A-Z][A-Z]) (?<=[A-Z]) [A-Z]{{2,9}}+ [ ] (?= \S{_MANY}+ [ ] HTTP/ ) ) [^\s?]{_MANY}+ (?P<path>)
      | {_OWN_KEY}
      | (?i: {_NAME} (?:
          # In a query or a form. A query within a parameter of another ends where that does.
          (?: = | %(?P<depth>(?:25){{0,3}})3d ) (?P<query>)
          (?: [^\s&"'\\%]{_MANY}+ | (?! {_QUOTE}{_AFTER_VALUE} | %(?P=depth)26 ) [^\s&] ){_MANY}
          | {_QUOTE} (?:
            # In JSON or a dict, up to the same quote unless that is escaped.
            {_SPACE} : {_SPACE} [\[(]? {_SPACE} b? (?P<slashes>\\{{0,15}}+) (?P<quote>["']) (?P<item>)
            (?: [^"'\\]{_MANY}+ | (?P=slashes){{2}}\\\\
              | (?! (?P=slashes)(?P=quote){_AFTER_VALUE} ) \\{{0,31}}+ . ){_MANY}
            # In a multipart body.
            | [^\r\n\\]{{0,200}}+ (?: {_LINE} [^\r\n\\]{{1,200}}+ ){{0,3}} {_LINE}{_LINE} (?P<part>)
            (?: [^\r\n\\]{_MANY}+ | (?! {_LINE} ) . ){_MANY} ) ) )
      # In a header.
      | (?i: (?<=a)pi-key (?: \s | \+ | %(?:25){{0,3}}20 ){{1,200}} (?! realm= ) (?P<header>)
        (?: [^\s"'\\]{_MANY}+ | (?! {_QUOTE}{_AFTER_VALUE} ) \S ){_MANY} )
    )
    """,
    re.VERBOSE | re.DOTALL,
)


def _replacement(found: re.Match[str]) -> str:
    if found["path"] is not None:
        return _own_key.sub(REDACTED, found[0])
    start = found.start()
    return found.string[start : max(start, *map(found.end, ("query", "item", "part", "header")))] + REDACTED


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without ``secrets``, and without what its form or the name before it shows to be a secret."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _secret.sub(_replacement, text)


def redact_start(text: str, secrets: Sequence[str] = (), length: int = MAX_TEXT_LENGTH) -> str:
    """Return ``text`` redacted. If it is longer than ``length``, return its start and say how long it was."""
    if len(text) <= length:
        return redact(text, secrets)
    unsure = max(MAX_SECRET_LENGTH, *map(len, secrets), 0)  # the end may be the start of a secret
    return f"{redact(text[:length], secrets)[:-unsure]}...[{len(text)}-characters]"


def redact_path(path: str) -> str:
    """Return the path of a request without keys of the app's own; all else in it stays readable."""
    return _own_key.sub(REDACTED, path)[:MAX_ARGUMENT_LENGTH]


class RedactedAtoms(Mapping[str, Any]):
    """The arguments by name of an access log. Each is redacted when a format or a handler asks for it."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        self._atoms = atoms

    def __getitem__(self, name: str) -> Any:
        value = self._atoms[name]
        if not isinstance(value, str):
            return value
        return redact_path(value) if name == "U" else redact_start(value, length=MAX_ARGUMENT_LENGTH)

    def __iter__(self) -> Iterator[str]:
        return iter(self._atoms)

    def __len__(self) -> int:
        return len(self._atoms)

    def __repr__(self) -> str:
        return redact_start(repr(dict(self._atoms)))


class RedactSecretsFilter(logging.Filter):
    """Redact each record and let it pass: its message, arguments, traceback and stack.

    If Django has put the request into the record, the key of that request is redacted wherever it stands.
    """

    formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        secrets = find_secrets(request)
        if isinstance(record.args, Mapping):
            record.msg = redact_start(str(record.msg), secrets)
            record.args = RedactedAtoms(record.args)
        else:
            _redact_message(record, secrets, _written_paths(request))
        if record.exc_info or record.exc_text:
            trace = record.exc_text or self.formatter.formatException(record.exc_info)  # type: ignore[arg-type]
            redacted = redact_start(trace, secrets, MAX_TRACEBACK_LENGTH)
            if redacted != trace:  # otherwise the handlers' formatters show the exception in their own way
                record.exc_text = redacted
        if record.stack_info:
            record.stack_info = redact_start(record.stack_info, secrets, MAX_TRACEBACK_LENGTH)
        return True


_FILTER = RedactSecretsFilter()
_PATH = "\ue000"
"""Stands for the path in a message while that is redacted."""


def _redact_message(record: logging.LogRecord, secrets: Sequence[str], paths: Sequence[str]) -> None:
    args = record.args if isinstance(record.args, tuple) else ()
    shown, without_path, path = list(args), list(args), ""
    for place, value in enumerate(args):
        if isinstance(value, str) and value in paths:
            shown[place] = path = redact_path(value)
            without_path[place] = _PATH
        elif isinstance(value, str):
            shown[place] = without_path[place] = redact_start(value, secrets, MAX_ARGUMENT_LENGTH)
    try:
        record.args = tuple(without_path)
        message = redact_start(record.getMessage(), secrets).replace(_PATH, path, without_path.count(_PATH))
        record.args = tuple(shown)  # some formatters take the arguments of a request line one by one
        if record.getMessage() != message:
            record.msg, record.args = message, ()
    except Exception:  # the handler says so, and shows the message and the arguments
        record.msg, record.args = redact_start(str(record.msg), secrets), (redact_start(str(args), secrets),)


class SecretStr:
    """A text that does not show itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return REDACTED


class RawRepr:
    """A value of a report that is shown as a given text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class RedactingExceptionReporter(ExceptionReporter):
    """Make Django's error reports and debug pages without the key of the request, wherever it stands."""

    def __init__(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.secrets = find_secrets(request)

    def get_traceback_frames(self) -> list[dict[str, Any]]:
        frames: list[dict[str, Any]] = super().get_traceback_frames()
        for frame in frames:
            if "vars" in frame:
                frame["vars"] = [(name, self._redact_value(value)) for name, value in frame["vars"]]
        return frames

    def _redact_value(self, value: Any) -> Any:
        """Return ``value``, or what to show for it: Django would break a long text into lines, and a key with it."""
        try:
            text = repr(value)
        except Exception:  # Django says so
            return value
        redacted = redact_start(text, self.secrets)
        return value if redacted == text else RawRepr(redacted)

    def get_traceback_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().get_traceback_data()
        for table in ("request_GET_items", "filtered_POST_items"):
            data[table] = [
                (name, REDACTED if name in PARAMETERS else self._redact_value(value))
                for name, value in data.get(table, ())
            ]
        data["exception_value"] = redact_start(data.get("exception_value", ""), self.secrets)
        return data

    def get_traceback_html(self) -> SafeString:
        page = super().get_traceback_html()
        text = html.unescape(page)
        secrets = [secret for secret in self.secrets if secret in text]
        return SafeString("".join(_redact_html(piece, secrets) for piece in re.split("([<>])", page)))

    def get_traceback_text(self) -> SafeString:
        return SafeString(redact(super().get_traceback_text(), self.secrets))


def _redact_html(piece: str, secrets: Sequence[str]) -> str:
    text = html.unescape(piece)
    redacted = redact(text, secrets)
    return piece if redacted == text else html.escape(redacted)


def encoded_variants(secret: str) -> set[str]:
    """Return how a secret may stand in a text: as it is, in JSON, percent-encoded, and quoted by Python, even twice."""
    encoded = secret.encode("utf-8", "surrogatepass")
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    variants = {secret, *in_json, quote(encoded), quote(encoded, ""), quote_plus(encoded)}
    for _ in range(2):
        variants |= {quoted for variant in variants for quoted in _quoted(variant)}
    return variants


def _quoted(text: str) -> set[str]:
    """Return what ``repr()`` makes of a text and of its bytes, within either kind of quotes."""
    both = "'\""  # makes repr() take the single ones and escape them
    shown = {repr(text + both)[1:-4], repr((text + both).encode("utf-8", "surrogatepass"))[2:-4]}
    return shown | {variant.replace("\\'", "'") for variant in shown}


def _written_paths(request: Any) -> tuple[str, ...]:
    """Return how the path of a request may stand in a text; Django escapes what it logs."""
    path = getattr(request, "path", None)
    if not isinstance(path, str):
        return ()
    return path, path.encode("unicode_escape").decode(), quote(path.encode("utf-8", "surrogatepass"))


def find_secrets(request: object) -> list[str]:
    """Return the keys and signatures of a request that may be broken in any way, in all variants, the longest first.

    What is a part of the path is left out: nobody may hide what they ask for.
    """
    valid = dict.fromkeys(secret for secret in _given(request) if _may_be_a_secret(secret))
    variants = {variant for secret in islice(valid, MAX_SECRETS) for variant in encoded_variants(secret)}
    paths = "\n".join(_written_paths(request))
    return sorted((variant for variant in variants if variant not in paths), key=len, reverse=True)


def _may_be_a_secret(text: object) -> bool:
    """Whether a text has the length of a key and, like each key, no white space. Asterisks are what replaces it."""
    return (
        isinstance(text, str)
        and MIN_SECRET_LENGTH <= len(text) <= MAX_SECRET_LENGTH
        and text.split() == [text]
        and text.strip("*") != ""
    )


def _given(request: Any) -> Iterator[Any]:
    """Yield the keys and signatures that were registered, and those of the header and the query."""
    yield from (secret.text for secret in getattr(request, "_ossn_messaging_keys", ()))
    with suppress(Exception):  # a request may be broken in any way
        yield from request.META.get("HTTP_AUTHORIZATION", "").split(None, 1)[1:]
        for name in PARAMETERS:
            yield from request.GET.getlist(name)


@functools.cache
def redacting_reporter(reporter: Any) -> type[RedactingExceptionReporter]:
    """Return a class of reports that does what ``reporter`` does, and redacts the result."""
    if not (isinstance(reporter, type) and issubclass(reporter, ExceptionReporter)):
        return RedactingExceptionReporter  # nothing is known of what it does
    if issubclass(reporter, RedactingExceptionReporter):
        return reporter
    return type("RedactingExceptionReporter", (RedactingExceptionReporter, reporter), {})


def use_redacting_reporter(request: Any) -> None:
    """Redact the debug page of this request, whatever class of reports the site has."""
    request.exception_reporter_class = redacting_reporter(get_exception_reporter_class(request))


def register_secret(request: Any, key: str) -> None:
    """Redact ``key`` in the reports of this request, wherever it was found. A key that is too long is not valid."""
    if len(key) <= MAX_SECRET_LENGTH:
        request._ossn_messaging_keys = [*getattr(request, "_ossn_messaging_keys", ()), SecretStr(key)]


def redact_logs() -> None:
    """Redact what ``LOGGERS`` log, and the error mails of each handler that exists now."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, AdminEmailHandler):
                reporter: Any = handler.reporter_class
                handler.reporter_class = redacting_reporter(reporter)
