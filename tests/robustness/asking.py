"""Requests that are nearly good, of every kind that HTTP has, for hypothesis to make and to make smaller."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

from hypothesis import strategies as st

from tests.support.files import SAMPLES
from tests.support.servers import HOST

CRLF = b"\r\n"
ENDPOINTS = (
    *("/api/v2.0/message/" + name for name in ("send", "list", "new", "recent", "unread", "delete")),
    *("/api/v1.0/message_" + name for name in ("add", "list", "new", "recent", "delete")),
)
PARAMETERS = (
    *("api_key_token", "from", "to", "message", "guid", "id", "for", "offset", "before", "markallread"),
    *("attachment", "idempotency_key", "signature", ""),
)

NUMBERED = {b"from", b"to", b"guid", b"id", b"offset", b"before"}


@dataclass(frozen=True)
class World:
    """What there is on the site."""

    key: str
    session: str
    users: Sequence[int]
    attachment: str
    """The path of a file, with a signature."""


@dataclass(frozen=True)
class Asked:
    """All that a client says on one connection, before it says that there is no more."""

    raw: bytes
    is_own: bool = True
    """Whether its path is one of the app's."""

    @property
    def has_odd_host(self) -> bool:
        """Whether the site may refuse it for its host, before the app is asked."""
        return self.raw.lower().count(b"host:") != 1 or b"\r\nHost: %s\r\n" % HOST.encode() not in self.raw

    def __repr__(self) -> str:
        shown = self.raw if len(self.raw) <= 3000 else self.raw[:2000] + b" ... " + self.raw[-500:]
        return f"{len(self.raw)} bytes: {shown!r}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Let hypothesis show no more of it."""
        printer.text(repr(self))


def once_in(times: int) -> "st.SearchStrategy[bool]":
    return st.integers(0, times - 1).map(lambda number: number == times // 2)  # hypothesis is fond of both ends


def mostly(usual: "st.SearchStrategy[Any]", odd: "st.SearchStrategy[Any]", share: int = 4) -> "st.SearchStrategy[Any]":
    """Draw what is odd once in ``share`` times."""
    return once_in(share).flatmap(lambda is_odd: odd if is_odd else usual)


WORDS = ("0", "-1", "1.0", "1e3", "0x1", "٣", "²", "", " ", "true", "null", "+1", "1 ", "\t2")
NUMBERS = st.sampled_from(WORDS) | st.integers(-(2**65), 2**65).map(str)
NUMBERS |= st.sampled_from([19, 20, 400, 5_000, 100_000]).map(lambda size: "9" * size)
TEXTS = (
    st.text(max_size=20)
    | st.sampled_from(["\0", "\ufeff", "<b>&amp;</b>", "'; DROP TABLE", "\r\n", "%", "{{7*7}}", "👩\u200d👩", "\u202e"])
    | st.sampled_from([1_000, 100_000, 100_001, 300_000]).map(lambda size: "x" * size)
)
BYTES = st.binary(max_size=20) | st.sampled_from(
    [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"%ff", b"%", b"%u1234", b"\0"]
)


def values(world: World) -> "st.SearchStrategy[bytes]":
    known = [world.key, "1", "2", "me", "all", "true", "Test", *map(str, world.users)]
    return mostly(
        st.sampled_from([text.encode() for text in known]),
        NUMBERS.map(str.encode) | TEXTS.map(lambda text: text.encode(errors="surrogatepass")) | BYTES,
        3,
    )


@st.composite
def pairs(draw: Any, world: World) -> list[tuple[bytes, bytes]]:
    """Parameters: those of a good request, with some of them changed, doubled or away, or whatever comes."""
    one, other = map(str, world.users[:2])
    good = {"api_key_token": world.key, "from": one, "to": other, "guid": one, "message": "Test", "id": "1"}
    given = [(name.encode(), value.encode()) for name, value in good.items()]
    given = [] if draw(once_in(8)) else given
    names = mostly(st.sampled_from(PARAMETERS).map(str.encode), BYTES)
    numbers = st.tuples(st.sampled_from(sorted(NUMBERED)), NUMBERS.map(str.encode))
    for _ in range(draw(st.sampled_from([0, 1, 2, 3]))):
        name, value = draw(st.tuples(names, values(world)) | numbers)
        if given and draw(st.booleans()):
            given[draw(st.integers(0, len(given) - 1))] = (name, value)
        else:
            given.append((name, value))
    return given


@st.composite
def form(draw: Any, world: World) -> bytes:
    given = draw(pairs(world))
    if draw(once_in(30)):
        given += [(b"a", b"1")] * draw(st.sampled_from([900, 1_000, 10_000]))
    encode = draw(mostly(st.just(quote_from_bytes), st.just(bytes.decode), 10))
    try:
        encoded = [f"{encode(name)}={encode(value)}".encode() for name, value in given]
    except UnicodeDecodeError:
        encoded = [name + b"=" + value for name, value in given]
    return bytes(draw(mostly(st.just(b"&"), st.sampled_from([b";", b"&&", b"=", b"&amp;"]), 10)).join(encoded))


NUMBERS_OF_JSON = st.sampled_from([1e999, 10**400, 10**5000, -0.0, 1e-400, float("nan")])


def nested(world: World) -> "st.SearchStrategy[Any]":
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    )


def dumped(value: Any) -> str:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value)
    finally:
        sys.set_int_max_str_digits(limit)


@st.composite
def json_body(draw: Any, world: World) -> bytes:
    given = [
        (dumped(name.decode(errors="replace")), dumped(value.decode(errors="replace")))
        for name, value in draw(pairs(world))
    ]
    odd = nested(world).map(dumped) | NUMBERS_OF_JSON.map(dumped)
    odd |= st.sampled_from(['"\\ud800"', "[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 5_000, "nul", "9" * 100_000])
    given += draw(st.lists(st.tuples(st.sampled_from(PARAMETERS).map(dumped), odd), max_size=2))
    text = "{" + ", ".join(f"{name}: {value}" for name, value in given) + "}"
    text = draw(mostly(st.just(text), st.sampled_from(["", "[]", f"[{text}]", text[:-1], text * 2, "\ufeff" + text])))
    return bytes(text.encode(draw(mostly(st.just("utf-8"), st.sampled_from(["utf-16", "utf-7", "utf-8-sig"])))))


FILES = [(f'filename="{name}"', content) for name, content in SAMPLES.items()]
DISPOSITIONS = (
    'filename=""',
    'filename="a.pdf',
    'filename="../../etc/passwd"',
    "filename*=utf-8''%ff.pdf",
    "filename*=x'y",
    "filename*0=a.pdf; filename*1=b",
    'filename="\xff.png"',
    'filename="' + "n" * 2000 + '.pdf"',
    "filename=",
    "filename",
    "name=message",
    "=",
    ";;;",
)
PART_HEADERS = (
    b"Content-Type: image/png",
    b"Content-Type: text/plain; charset=utf-16",
    b"Content-Type: multipart/mixed; boundary=inner",
    b"Content-Type: /",
    b"Content-Type:",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Transfer-Encoding: x",
    b"Content-Encoding: gzip",
    b"Content-Length: 99999999",
    b"X: " + b"h" * 70_000,
    b"no colon",
    b" folded",
    b"\xff: \xff",
    b"Content-Disposition: form-data; name=to",
)


@st.composite
def part(draw: Any, world: World) -> bytes:
    name = draw(mostly(st.sampled_from(PARAMETERS).map(str.encode), BYTES))
    disposition, content = draw(
        mostly(
            st.tuples(st.just(""), values(world)),
            mostly(st.sampled_from(FILES), st.tuples(st.sampled_from(DISPOSITIONS), values(world)), 2),
            2,
        )
    )
    if disposition in dict(FILES):
        name = draw(mostly(st.just(b"attachment"), st.just(name)))
        content = draw(mostly(st.just(content), st.integers(0, len(content)).map(lambda end: content[:end])))
    kind = draw(mostly(st.just(b"form-data"), st.sampled_from([b"attachment", b"", b"mixed"]), 20))
    lines = [b"Content-Disposition: " + kind + b'; name="' + name + b'"']
    lines[0] += b"; " + disposition.encode("latin-1") if disposition else b""
    lines += draw(st.lists(st.sampled_from(PART_HEADERS), max_size=2)) if draw(once_in(4)) else []
    if draw(once_in(30)):
        lines = draw(st.permutations(lines))[1:]
    return CRLF.join([*lines, b"", content])


BOUNDARIES = (
    b"b",
    b"-",
    b"--",
    b"",
    b'"q q"',
    b'"',
    b"b" * 70,
    b"b" * 71,
    b"b" * 300,
    b"\xff",
    b"=?utf-8?q?b?=",
    b"a;b",
)


@st.composite
def multipart(draw: Any, world: World) -> tuple[bytes, bytes]:
    boundary = draw(mostly(st.just(b"frontier"), st.sampled_from(BOUNDARIES), 8))
    line = draw(mostly(st.just(CRLF), st.sampled_from([b"\n", b"\r", b"\r\r\n"]), 20))
    fields = [b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % pair for pair in draw(pairs(world))]
    parts = fields + draw(st.lists(part(world), max_size=4))
    if draw(once_in(10)):
        parts = draw(st.permutations(parts))
    if draw(once_in(40)):
        parts += [draw(part(world))[:2000]] * draw(st.sampled_from([95, 999, 1_100, 10_000]))
    delimiter = b"--" + boundary.strip(b'"')
    start = draw(mostly(st.just(b""), st.sampled_from([CRLF, b"preamble\r\n", b"--", b" "]), 10))
    end = draw(
        mostly(st.just(b"--\r\n"), st.sampled_from([b"", b"-", CRLF, b"--", b"--\r\nepilogue", b"--\r\n" * 3]), 6)
    )
    body = start + b"".join(delimiter + line + one + line for one in parts) + delimiter + end
    if draw(once_in(12)):
        body = body[: draw(st.integers(0, len(body)))]
    kind = b"multipart/form-data; boundary=" + boundary
    odd = (
        b"multipart/form-data",
        b"multipart/mixed; boundary=frontier",
        kind + b"; boundary=x",
        kind.upper(),
        kind + b"; charset=utf-16",
    )
    return draw(mostly(st.just(kind), st.sampled_from(odd), 15)), body


CONTENT_TYPES = (
    *(b"application/x-www-form-urlencoded", b"application/json", b"multipart/form-data; boundary=frontier"),
    *(b"application/x-www-form-urlencoded; charset=utf-16", b"application/json; charset=latin-1", b"text/html", b"*/*"),
    *(b"", b"/", b";", b"application/json;charset", b"APPLICATION/JSON", b"application/json, text/plain", b"\xff"),
    *(b"application/json; charset=" + b"u" * 3000, b"application/x-www-form-urlencoded; charset=\x00"),
)


@st.composite
def bodies(draw: Any, world: World) -> tuple[bytes, bytes]:
    """A content type and a body."""
    kind = draw(st.sampled_from("mmmfjjb"))
    if kind == "m":
        content_type, body = draw(multipart(world))
    elif kind == "f":
        content_type, body = b"application/x-www-form-urlencoded", draw(form(world))
    elif kind == "j":
        content_type, body = b"application/json", draw(json_body(world))
    else:
        content_type, body = draw(st.sampled_from(CONTENT_TYPES)), draw(st.binary(max_size=100))
    return draw(mostly(st.just(content_type), st.sampled_from(CONTENT_TYPES), 15)), body


LENGTHS = (b"0", b"1", b"-1", b"+5", b"1e3", b"99999999", b"9" * 30, b"9" * 5000, b"", b"x", b"1, 2", b"0x10", b"5 5")


def chunk(data: bytes, size: bytes | None = None, end: bytes = CRLF) -> bytes:
    return (b"%x" % len(data) if size is None else size) + CRLF + data + end


@st.composite
def framed(draw: Any, body: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers that say how long a body is, and what is sent of it."""
    kind = draw(mostly(st.just("length"), st.sampled_from(["chunks", "chunks", "wrong", "none", "both", "twice"]), 4))
    if kind in ("length", "none"):
        return [(b"Content-Length", b"%d" % len(body))] if kind == "length" else [], body
    if kind == "wrong":
        other = st.sampled_from(LENGTHS) | st.integers(-9, 9).map(lambda more: b"%d" % (len(body) + more))
        return [(b"Content-Length", draw(other))], body
    if kind == "twice":
        return [(b"Content-Length", b"%d" % len(body)), (b"Content-Length", draw(st.sampled_from(LENGTHS)))], body
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    sent = [chunk(piece) for piece in pieces if piece]
    if len(body) < 5_000 and draw(once_in(10)):
        sent = [chunk(body[at : at + 1]) for at in range(len(body))]
    sizes = st.sampled_from(
        [b"-1", b"x", b"", b"ffffffffffffffff", b"f" * 20, b"0x5", b" 5", b"5;ext=1", b"5;" + b"e" * 9000, b"5\xff"]
    )
    odd = st.tuples(st.binary(max_size=9), sizes, st.sampled_from([CRLF, b"", b"\n", b"xx"])).map(
        lambda given: chunk(*given)
    )
    if draw(once_in(3)):
        sent.insert(draw(st.integers(0, len(sent))), draw(odd))
    ends = [b"0\r\n", b"", b"0", b"00000\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"0\r\nbad trailer\r\n\r\n"]
    sent.append(draw(mostly(st.just(b"0\r\n\r\n"), st.sampled_from(ends), 4)))
    coding = draw(
        mostly(
            st.just(b"chunked"),
            st.sampled_from([b"Chunked", b"gzip, chunked", b"identity", b"x", b"chunked, chunked"]),
            8,
        )
    )
    headers = [(b"Transfer-Encoding", coding)]
    return headers + ([(b"Content-Length", b"%d" % len(body))] if kind == "both" else []), b"".join(sent)


def odd_headers(world: World) -> "st.SearchStrategy[tuple[bytes, bytes]]":
    key, session = world.key.encode(), world.session.encode()
    dates = [b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 99 Foo 9999 99:99:99 GMT", b"Mon, 01 Jan 0001 00:00:00 GMT", b"x"]
    named: Mapping[bytes, Sequence[bytes]] = {
        b"Host": [b"evil.example", b"", b"127.0.0.1:99999999", b"[::1", b"a b", b"\xff", b"127.0.0.1:" + b"1" * 300],
        b"Accept": [b"text/html", b"*/*;q=2", b"x", b"image/*, " * 200],
        b"Accept-Language": [b"de", b"xx-YY-zz;q=9", b"-" * 500, b"\xff", b"fa, ar;q=0.5"],
        b"Authorization": [
            *(
                b"Api-Key " + key,
                b"api-key",
                b"Api-Key  ",
                b"Api-Key " + key * 50,
                b"Basic !!",
                b"Bearer " + key,
                b"\xff",
            ),
            *(b"Api-Key \xff\xfe", b"Api-Key " + key[:-1], key, b"Api-Key a b c"),
        ],
        b"Idempotency-Key": [b"k", b'"', b'""', b"\xff", b"k" * 256, b"\xf0\x9f\x91\xa9", b"a\tb", b"'", b"k" * 8000],
        b"Range": [
            b"bytes=0-",
            b"bytes=-0",
            b"bytes=9-1",
            b"bytes=" + b"9" * 2000 + b"-",
            b"bytes=0-0,1-1",
            b"x",
            b"bytes=\xb2-",
        ],
        b"If-Range": [b'"x"', *dates],
        b"If-None-Match": [b"*", b'"', b'W/"x"', b"," * 1000, b"\xff"],
        b"If-Match": [b"*", b'"x"', b'"' * 1000],
        b"If-Modified-Since": dates,
        b"If-Unmodified-Since": dates,
        b"Cookie": [
            *(
                b"sessionid=" + session,
                b"sessionid=x",
                b"sessionid=" + b"x" * 4000,
                b"=;=;=",
                b"a" * 4000,
                b"\xff=\xff",
            ),
            b"messages=[[x; csrftoken=\xff; django_language=../..",
        ],
        b"Content-Encoding": [b"gzip", b"br", b"\xff"],
        b"X-Forwarded-For": [b"1.1.1.1", b"," * 500, b"\xff", b"x" * 3000],
        b"X-Forwarded-Host": [b"evil.example"],
        b"X-HTTP-Method-Override": [b"DELETE"],
        b"X-CSRFToken": [b"x" * 64],
        b"Expect": [b"100-continue", b"x"],
        b"Connection": [b"keep-alive", b"upgrade", b"x"],
        b"Upgrade": [b"websocket", b"h2c"],
        b"Content-Length": [b"5", b"-5"],
        b"Transfer-Encoding": [b"chunked", b"gzip"],
        b"Script-Name": [b"/x"],
        b"Script_Name": [b"/x"],
        b"Proxy": [b"http://evil.example"],
        b"bad name": [b"x"],
        b"": [b"x"],
        b"X": [b"a\0b", b"a\r\n b", b"x" * 8100, b"x" * 9000, b"a\nSmuggled: 1"],
    }
    return st.sampled_from(sorted(named)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(named[name])))


METHODS = (
    *("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "PRI"),
    *("get", "A" * 20, "A" * 21, "G@T", "", "POST POST", "\xff", "_DISPATCH", "HTTP_METHOD_NOT_ALLOWED", "INITIAL"),
)
SEGMENTS = st.binary(min_size=1, max_size=12).map(lambda data: data.replace(b"/", b"_")) | st.sampled_from(
    [
        b"1",
        b"0",
        b"-1",
        b"9" * 30,
        b"9" * 3000,
        b"..",
        b".",
        b"\0",
        b"\xff",
        b"%",
        b"\xed\xa0\x80",
        b"1\n",
        "²".encode(),
    ]
)


@st.composite
def paths(draw: Any, world: World) -> tuple[bytes, bool]:
    """A path, and whether it is the app's."""
    kind = draw(st.sampled_from("eeeeefffaaass"))
    if kind == "e":
        return draw(st.sampled_from(ENDPOINTS)).encode(), True
    # Wholly encoded, whatever is in it is one segment of the route.
    encode = draw(mostly(st.just(quote_from_bytes), st.just(lambda data: "".join(f"%{byte:02x}" for byte in data)), 3))
    encoded = [encode(segment) for segment in draw(st.lists(SEGMENTS, min_size=3, max_size=5))]
    if kind == "f":
        known = urlsplit(world.attachment)
        *_others, number, name = known.path.split("/")
        number = draw(mostly(st.just(number), st.just(encoded[0])))
        name = draw(mostly(st.just(name), st.just("/".join(encoded[1:]))))
        query = f"?{known.query}" if draw(once_in(2)) else ""
        return f"/messages/attachment/{number}/{name}{query}".encode(), True
    if kind == "a":
        name = draw(mostly(st.just("arsalanshah"), st.just("/".join(encoded[:-2]))))
        size = draw(mostly(st.just("small"), st.just(encoded[-2])))
        digest = draw(mostly(st.just("c0e15d54735a596d4e16bf1aaa999758"), st.just(encoded[-1])))
        return f"/avatar/{name}/{size}/{digest}.jpeg".encode(), True
    odd = (
        b"/",
        b"*",
        b"//api/v2.0/message/send",
        b"/api/v2.0/message/send/",
        b"/api//v2.0/message/send",
        b"http://127.0.0.1/api/v2.0/message/send",
    )
    made = st.just("/".join(["", "api", *encoded]).encode()) | st.sampled_from(
        [
            b"/api/v2.0/message/../message/send",
            b"/API/v2.0/message/send",
            b"/\xff",
            b"/%",
            b"/messages/attachment/",
            b"/avatar/",
            b"/api%2fv2.0",
        ]
    )
    return draw(st.sampled_from(odd) | made), False


@st.composite
def asked(draw: Any, world: World) -> Asked:
    path, is_own = draw(paths(world))
    is_file = not path.startswith(b"/api/")
    method = draw(
        mostly(
            st.sampled_from([b"GET", b"HEAD"] if is_file else [b"GET", b"POST", b"POST", b"POST"]),
            st.sampled_from(METHODS).map(lambda name: name.encode("latin-1")),
            12,
        )
    )
    query = draw(form(world)) if draw(once_in(3)) or (method == b"GET" and not draw(once_in(4))) else b""
    if query:
        path += (b"&" if b"?" in path else b"?") + query.translate(None, b" \r\n#")[
            : draw(mostly(st.just(3_500), st.just(9_000), 30))
        ]
    headers: list[tuple[bytes, bytes]] = [(b"Host", HOST.encode())]
    if draw(once_in(5)):
        headers.append((b"Authorization", b"Api-Key " + world.key.encode()))
    body = b""
    if method != b"GET" or draw(once_in(6)):
        content_type, body = draw(bodies(world))
        framing, body = draw(framed(body))
        headers += [(b"Content-Type", content_type), *framing]
    if draw(once_in(4)):
        headers += draw(st.lists(odd_headers(world), min_size=1, max_size=3))
    if draw(once_in(12)):
        headers = draw(st.permutations(headers))[draw(st.integers(0, 1)) :]
    if draw(once_in(60)):
        headers += [(b"X-Flood", b"f" * draw(st.sampled_from([1, 80, 8000])))] * draw(st.sampled_from([80, 101, 2_000]))
    if draw(once_in(40)):  # a second request in the same breath
        body += b"GET /api/v2.0/message/unread HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    elif not any(name == b"Connection" for name, _value in headers):
        headers.append((b"Connection", b"close"))
    version = draw(
        mostly(st.just(b"HTTP/1.1"), st.sampled_from([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"http/1.1"]), 30)
    )
    lines = [b" ".join([method, path, version]), *(name + b": " + value for name, value in headers)]
    raw = CRLF.join([*lines, b"", body])
    if draw(once_in(60)):
        raw = raw[: draw(st.integers(1, len(raw)))]
    return Asked(raw, is_own)
