"""Redacts API keys and attachment signatures in logs, error reports and debug pages (the page "Security").

The import of this module must not need settings: gunicorn and ``LOGGING`` import the filter before they are configured.

Any client can send the texts that are redacted here, so the time must be linear in their length: no pattern is built
from a request, each repetition in a pattern has an upper limit, and no two matching attempts scan the same long run of
characters.
"""

import functools
import html
import json
import logging
import re
import signal
import sys
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
"""A shorter key is redacted only if the parameter's name precedes it, because it may be part of any word."""
MAX_SECRET_LENGTH = 512
"""A longer key is not valid."""
MAX_SECRETS = 8
"""At most this number of values of one request are redacted everywhere in a text."""
MAX_TEXT_LENGTH = 16 * 1024
"""In characters. Log messages and values in reports are cut to this length."""
MAX_ARGUMENT_LENGTH = 8 * 1024
"""In characters. Arguments of log messages are cut to this length."""
MAX_TRACEBACK_LENGTH = 256 * 1024
MAX_DEPTH = 20
"""Values in more dicts and lists than this are not shown in data."""
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
"""The loggers that log requests. Each is listed because a logger's filter does not apply to its child loggers."""


def _encoded(name: str) -> str:
    """Return a pattern for ``name`` after its first character. Each may be percent-encoded, up to four times."""
    code = [rf"(?:25){{0,3}}{ord(character):02x}" for character in name]
    rest = "".join(rf"(?:{character}|%{code})" for character, code in zip(name[1:], code[1:], strict=True))
    return rf"(?: (?<={name[0]}) | (?<=%){code[0]} ) {rest}"


_NAME = f"(?: {' | '.join(map(_encoded, PARAMETERS))} )"
_MANY = f"{{1,{MAX_TEXT_LENGTH}}}"  # no valid secret is longer, even if it is encoded several times
_SPACE = r"\s{0,200}+"
_QUOTE = r"\\{0,15}+[\"']"  # JSON in repr() of repr() has seven backslashes before a quote
_AFTER_VALUE = r"(?=[\s,;:\])}>]|$)"  # any other quote may be part of the value
_LINE = r"(?:\r?\n|(?:\\{1,15}+r)?\\{1,15}+n)"  # a line break, or its form in repr()
_OWN_KEY = r"""
    # names in the database look like a key of the app's own, but have no capital letters
    (?<=o) ssn (?: _ | %(?:25){0,3}5[Ff] ) (?= [a-z0-9_%-]{0,42}+ [A-Z] )
    (?: [A-Za-z0-9_-] | %(?:25){0,3}(?: 5[Ff] | 2[Dd] ) ){43}
"""
_query = re.compile(rf"\?[^\s?=]{_MANY}+=\S*")
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
    """Return ``text`` with asterisks in place of ``secrets``, the app's own keys, and values after a secret's name."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return _secret.sub(_replacement, text)


def redact_start(text: str, secrets: Sequence[str] = (), length: int = MAX_TEXT_LENGTH) -> str:
    """Return ``text`` redacted. If it has more than ``length`` characters, return only its start and its length."""
    if len(text) <= length:
        return redact(text, secrets)
    unsure = max(MAX_SECRET_LENGTH, *map(len, secrets), 0)  # the end may be the beginning of a secret
    return f"{redact(text[:length], secrets)[:-unsure]}...[{len(text)}-characters]"


def redact_data(data: Any, secrets: Sequence[str] = (), max_depth: int = MAX_DEPTH) -> Any:
    """Return a copy of dicts, lists, texts and other values with the secrets redacted, for an error tracker.

    The queries of URLs become asterisks, because they may have the text of a message. So do the values of parameters
    such as ``api_key_token``, and what is nested deeper than ``max_depth``. A tuple or set becomes a list, and an
    object whose ``repr()`` shows a secret or a query becomes that text, redacted.
    """
    if isinstance(data, str):
        return _query.sub(f"?{REDACTED}", redact_start(data, secrets))
    if isinstance(data, Mapping | list | tuple | set | frozenset):
        if max_depth == 0:
            return REDACTED
        if isinstance(data, Mapping):
            return {
                redact_data(name, secrets, 0): REDACTED
                if str(name).lower().endswith(PARAMETERS)  # such as X-Amz-Signature
                else redact_data(value, secrets, max_depth - 1)
                for name, value in data.items()
            }
        return [redact_data(value, secrets, max_depth - 1) for value in data]
    text = repr(data)
    redacted = redact_data(text, secrets)
    return data if redacted == text else redacted


def redact_path(path: str) -> str:
    """Return the path of a request with the app's own keys redacted. The rest of the path stays readable."""
    return _own_key.sub(REDACTED, path)[:MAX_ARGUMENT_LENGTH]


class RedactedAtoms(Mapping[str, Any]):
    """The named arguments of an access log. Each is redacted when a format or handler reads it."""

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
    """A logging filter that redacts the message, arguments, traceback and stack of each record. It drops no record.

    If Django has added the request to the record, the key of that request is redacted everywhere in the record.
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
            if redacted != trace:  # otherwise the handlers' formatters can use their own format of the exception
                record.exc_text = redacted
        if record.stack_info:
            record.stack_info = redact_start(record.stack_info, secrets, MAX_TRACEBACK_LENGTH)
        return True


_FILTER = RedactSecretsFilter()
_PATH = "\ue000"
"""The placeholder of the path in a message while the message is redacted."""


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
        record.args = tuple(shown)  # some formatters read the arguments of a request line separately
        if record.getMessage() != message:
            record.msg, record.args = message, ()
    except Exception:  # the handler reports the error with the message and the arguments
        record.msg, record.args = redact_start(str(record.msg), secrets), (redact_start(str(args), secrets),)


class SecretStr:
    """A text whose ``repr()`` is only asterisks."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return REDACTED


class RawRepr:
    """A value in a report whose ``repr()`` is a given text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class RedactingExceptionReporter(ExceptionReporter):
    """Builds Django's error reports and debug pages with the keys and signatures of the request redacted everywhere."""

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
        """Return ``value``, or a ``RawRepr`` of its redacted text.

        The text is not a ``str``, because Django would break a long one into lines, and a key with it.
        """
        try:
            text = repr(value)
        except Exception:  # Django shows the error in the report
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
        # Since Django 6.1, this is the exception itself.
        data["exception_value"] = redact_start(str(data.get("exception_value", "")), self.secrets)
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
    """Return the forms of a secret in a text: unchanged, in JSON or percent-encoded, after up to two ``repr()``."""
    encoded = secret.encode("utf-8", "surrogatepass")
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    variants = {secret, *in_json, quote(encoded), quote(encoded, ""), quote_plus(encoded)}
    for _ in range(2):
        variants |= {quoted for variant in variants for quoted in _quoted(variant)}
    return variants


def _quoted(text: str) -> set[str]:
    """Return the ``repr()`` of a text and of its bytes, in single and in double quotes, without the quotes."""
    both = "'\""  # with both, repr() chooses single quotes and escapes them
    shown = {repr(text + both)[1:-4], repr((text + both).encode("utf-8", "surrogatepass"))[2:-4]}
    return shown | {variant.replace("\\'", "'") for variant in shown}


def _written_paths(request: Any) -> tuple[str, ...]:
    """Return the forms of a request's path in a text: unchanged, escaped as in Django's logs, and percent-encoded."""
    path = getattr(request, "path", None)
    if not isinstance(path, str):
        return ()
    return path, path.encode("unicode_escape").decode(), quote(path.encode("utf-8", "surrogatepass"))


def find_secrets(request: object) -> list[str]:
    """Return all encoded variants of the keys and signatures of a request, the longest first.

    The request may be malformed in any way. A variant that is part of the path is left out, so that a client cannot
    hide the path of its request from the log.
    """
    valid = dict.fromkeys(secret for secret in _given(request) if _may_be_a_secret(secret))
    variants = {variant for secret in islice(valid, MAX_SECRETS) for variant in encoded_variants(secret)}
    paths = "\n".join(_written_paths(request))
    return sorted((variant for variant in variants if variant not in paths), key=len, reverse=True)


def _may_be_a_secret(text: object) -> bool:
    """Return whether a text has the length of a key and no white space, and is not only asterisks.

    Asterisks are the replacement of a secret.
    """
    return (
        isinstance(text, str)
        and MIN_SECRET_LENGTH <= len(text) <= MAX_SECRET_LENGTH
        and text.split() == [text]
        and text.strip("*") != ""
    )


def _given(request: Any) -> Iterator[Any]:
    """Yield the registered keys, and the keys and signatures in the header and the query."""
    yield from (secret.text for secret in getattr(request, "_ossn_messaging_keys", ()))
    with suppress(Exception):  # the request may be malformed in any way
        yield from request.META.get("HTTP_AUTHORIZATION", "").split(None, 1)[1:]
        for name in PARAMETERS:
            yield from request.GET.getlist(name)


@functools.cache
def redacting_reporter(reporter: Any) -> type[RedactingExceptionReporter]:
    """Return a subclass of the reporter class ``reporter`` that redacts its reports.

    If ``reporter`` is not a subclass of ``ExceptionReporter``, return ``RedactingExceptionReporter``.
    """
    if not (isinstance(reporter, type) and issubclass(reporter, ExceptionReporter)):
        return RedactingExceptionReporter  # its methods are unknown
    if issubclass(reporter, RedactingExceptionReporter):
        return reporter
    return type("RedactingExceptionReporter", (RedactingExceptionReporter, reporter), {})


def use_redacting_reporter(request: Any) -> None:
    """Redact the debug page of this request, whatever the site's ``DEFAULT_EXCEPTION_REPORTER`` is."""
    request.exception_reporter_class = redacting_reporter(get_exception_reporter_class(request))


def register_secret(request: Any, key: str) -> None:
    """Redact ``key`` everywhere in the logs and reports of this request.

    A key longer than ``MAX_SECRET_LENGTH`` is ignored, because it is not valid.
    """
    if len(key) <= MAX_SECRET_LENGTH:
        request._ossn_messaging_keys = [*getattr(request, "_ossn_messaging_keys", ()), SecretStr(key)]


def redact_logs() -> None:
    """Redact the records of ``LOGGERS``, and the mails of every ``AdminEmailHandler`` that exists now."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, AdminEmailHandler):
                reporter: Any = handler.reporter_class
                handler.reporter_class = redacting_reporter(reporter)


def redact_lines() -> None:
    """Copy the lines of standard input to standard output, redacted, until the input ends."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # the server gets them too, and writes until it has stopped
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for line in sys.stdin:
        print(redact_start(line.rstrip("\n")), flush=True)  # noqa: T201


if __name__ == "__main__":
    redact_lines()
