"""However broken a request is, it gets an envelope, and leaves neither a row nor a file."""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import AsyncRequestFactory, RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from ossn_messaging.api.views import MessageSend
from ossn_messaging.attachments.uploads import max_body_size
from ossn_messaging.models import Message
from tests.support.api import API, SEND, upload
from tests.support.files import PDF
from tests.support.storage import files_in

MULTIPART = "multipart/form-data; boundary=frontier"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def part(disposition: bytes, content: bytes, *headers: bytes) -> bytes:
    lines = [b"--frontier", b"Content-Disposition: form-data; " + disposition, *headers, b"", content, b""]
    return b"\r\n".join(lines)


def body(api: API, *parts: bytes, end: bytes = b"--frontier--\r\n", **changes: Any) -> bytes:
    fields = (part(b'name="%s"' % name.encode(), value.encode()) for name, value in api.fields(**changes).items())
    return b"".join([*fields, *parts, end])


@pytest.fixture(autouse=True)
def nothing_is_left(api: API, attachments_folder: Path, request: pytest.FixtureRequest) -> Any:
    yield
    if "sends" not in request.keywords:
        assert not Message.objects.exists()
        assert files_in(attachments_folder) == []


BROKEN = {
    "no multipart at all": (MULTIPART, b"x"),
    "no boundary": ("multipart/form-data", b"x"),
    "a boundary that is none": ("multipart/form-data; boundary=" + "b" * 300, b"x"),
    "another boundary": (MULTIPART, b"--other\r\n"),
    "a header without end": (MULTIPART, b"--frontier\r\n" + b"x" * 5000),
    "half a JSON object": (JSON, b"{"),
    "a JSON list": (JSON, b"[1]"),
    "a JSON text": (JSON, b'"x"'),
    "no UTF-8": (JSON, b'{"message": "\xff"}'),
    "a JSON object in another": (JSON, b'{"message": {"a": 1}}'),
    "not a number": (JSON, b'{"message": NaN}'),
    "a number of too many digits": (JSON, b'{"message": ' + b"9" * 10_000 + b"}"),
    "too deep": (JSON, b'{"message": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "a form with bytes that are no text": (FORM, b"message=%ff%fe"),
    "a form in Latin-1": (FORM, b"message=\xe9"),
    "a form with too many fields": (FORM, b"a=1&" * 2000),
    "JSON with too many fields": (JSON, b'{"a":1' + b',"a":1' * 1000 + b"}"),
    "JSON with too many elements": (JSON, b'{"a": ["\\\\"' + b',"\\""' * 1000 + b"]}"),
    "JSON of more quotes than fields can have": (JSON, b'{"a": ["' + b'","' * 500_000 + b'"]}'),
}


WHY = {
    "multipart/form-data": "the body is not complete and valid multipart/form-data",
    FORM: "the body is not UTF-8 or has too many parameters",
    JSON: "the body is not a JSON object in UTF-8, or has too many values",
    "object": "in the JSON body, `message` is a list or an object, and not a text or a number",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("debug", [False, True])
def test_a_broken_body(api: API, settings: Settings, name: str, debug: bool) -> None:
    settings.DEBUG = debug
    content_type, broken = BROKEN[name]
    why = WHY[content_type.partition(";")[0]] if name != "a JSON object in another" else WHY["object"]
    in_query = urlencode(api.fields())
    answer = api.send_raw(broken, content_type, in_query)
    assert (answer["code"], answer["message"]) == ("200", f"Message send failed: the request could not be read: {why}")
    assert api.send_raw(broken, content_type)["message"] == answer["message"], "perhaps the key is in the body"
    wrong = urlencode({"api_key_token": "wrong"})
    assert api.send_raw(broken, content_type, wrong)["code"] == "106", "a wrong key is known without the body"
    settings.OSSN_MESSAGING = {"ENABLED": False}
    assert api.send_raw(broken, content_type, in_query)["code"] == "201", "then, whether messaging is on"
    settings.OSSN_MESSAGING = {"HTTP_STATUS": "rest"}
    api.send_raw(broken, content_type, in_query, status=400)


@pytest.mark.sends
def test_as_many_fields_in_json_as_in_a_form(api: API, settings: Settings) -> None:
    """What looks like more in a text is none."""
    text = '{"a": "b", "c": "\\"d, e"}, ' * 500
    given = api.fields(message=text, **{f"field{number}": "x" for number in range(996)})
    assert api.send_raw(json.dumps(given).encode(), JSON)["payload"]["message"] != text, "it is HTML"
    assert Message.objects.get().text == text.strip()
    too_many = json.dumps({**given, "one more": 1}).encode()
    assert "too many values" in api.send_raw(too_many, JSON)["message"]
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = None
    assert api.send_raw(too_many, JSON)["code"] == "100"


@pytest.mark.sends
def test_a_good_multipart_body(api: API) -> None:
    answer = api.send_raw(body(api, part(b'name="attachment"; filename="a.pdf"', PDF)), MULTIPART)
    assert answer["payload"]["attachment_name"] == "a.pdf"


@pytest.mark.sends
def test_a_file_name_in_rfc_5987(api: API) -> None:
    answer = api.send_raw(body(api, part(b"name=\"attachment\"; filename*=UTF-8''%c3%a9.pdf", PDF)), MULTIPART)
    assert answer["payload"]["attachment_name"] == "é.pdf"


@pytest.mark.parametrize(
    "broken",
    [
        part(b'name="attachment"; filename="\xe9.pdf"', PDF),
        part(b'name="attachment"; filename="a.pdf"', b"not base64!", b"Content-Transfer-Encoding: base64"),
        part(b'name="attachment"; filename=""', PDF),
        part(b'name="attachment"; filename="../"', PDF),
        part(b'name="attachment"; filename=".."', PDF),
        part(b'name="attachment"; filename="\x01.pdf"', PDF),
        part(b'filename="a.pdf"', PDF),
        part(b'name="message"', b"\xff"),
    ],
)
def test_a_part_is_taken_or_the_request_refused(api: API, broken: bytes) -> None:
    """Django passes over each of these: the message would go without its file."""
    with_rest = api.send_raw(body(api, broken), MULTIPART, urlencode({"api_key_token": api.key}))
    assert with_rest["code"] == "200"


@pytest.mark.sends
def test_a_file_name_in_no_known_encoding(api: API) -> None:
    """What Django makes of it depends on its version; the file is not lost in any."""
    named = part(b"name=\"attachment\"; filename*=bogus''a.pdf", PDF)
    answer = api.send_raw(body(api, named), MULTIPART, urlencode({"api_key_token": api.key}))
    assert answer["code"] == "200" or answer["payload"]["attachment_name"] == "a.pdf"


@pytest.mark.parametrize("end", [b"", b"--frontier", b"--frontier-"])
def test_a_multipart_body_without_its_end(api: API, end: bytes) -> None:
    query = urlencode({"api_key_token": api.key})
    cut = body(api, part(b'name="attachment"; filename="a.pdf"', PDF), end=end)
    why = WHY["multipart/form-data"]
    expected = f"Message send failed: the request could not be read: {why}"
    assert api.send_raw(cut, MULTIPART, query)["message"] == expected


def answer_to(rf: RequestFactory, api: API, content_type: str, announced: bytes, stream: Any) -> Any:
    """Return the answer to a request whose body is not as long as its headers say."""
    headers = {"Authorization": f"Api-Key {api.key}"}
    request = rf.generic("POST", SEND, announced, content_type, headers=headers, **{"wsgi.input": stream})
    return MessageSend.as_view()(request).render()


@pytest.mark.parametrize("missing", [1, 2, 5])
@pytest.mark.parametrize("content_type", [FORM, JSON, MULTIPART])
def test_a_body_cut_off(api: API, rf: RequestFactory, content_type: str, missing: int) -> None:
    """Even where what is missing says nothing: whoever hung up before the end takes nothing for sent."""
    fields = api.fields(api_key_token=None, message="as long as this")
    whole = {
        FORM: urlencode(fields).encode(),
        JSON: json.dumps(fields).encode() + b"\r\n",
        MULTIPART: body(api, api_key_token=None),
    }[content_type]
    cut = io.BytesIO(whole[:-missing])
    assert api.read(answer_to(rf, api, content_type, whole, cut))["code"] == "200"


class HangsUp:
    """The stream of a client that goes away."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("connection reset by peer")

    readline = read


@pytest.mark.parametrize("content_type", [FORM, JSON, MULTIPART])
def test_a_client_that_hangs_up(api: API, rf: RequestFactory, content_type: str) -> None:
    assert api.read(answer_to(rf, api, content_type, b"announced", HangsUp()))["code"] == "200"


def test_a_lone_surrogate(api: API) -> None:
    text = json.dumps(api.fields(message="a\ud800b")).encode()
    assert api.send_raw(text, JSON)["message"] == "Message send failed: the text is not valid Unicode"
    for name in ("from", "to"):
        assert api.send_raw(json.dumps({**api.fields(), name: "\ud800"}).encode(), JSON)["code"] == "103"
    assert api.send_raw(json.dumps(api.fields(api_key_token="\ud800")).encode(), JSON)["code"] == "106"


@pytest.mark.parametrize("raw", ["message=ж", "message=\udc80"])
def test_a_query_that_is_not_encoded(api: API, arf: AsyncRequestFactory, raw: str) -> None:
    """ASGI hands it on as a text."""
    request = arf.post(SEND, api.fields(message=None))
    request.META["QUERY_STRING"] = raw
    response: Any = MessageSend.as_view()(request)
    api.read(response.render())
    Message.objects.filter(text="ж").delete()


@pytest.mark.parametrize("query", ["message=%ff", "message=%ed%a0%80", quote("a=1&") * 1000 + "&a=1" * 1001])
def test_a_broken_query(api: API, query: str) -> None:
    assert api.send_raw(urlencode(api.fields()).encode(), FORM, query)["code"] == "200"
    response = api.client.get(f"{SEND}?{urlencode(api.fields(message=None))}&{query}")
    assert api.read(response)["code"] == "200"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "", "application/xml", "nonsense", f"{FORM}; charset=utf-16", f"{JSON}; charset=latin-1"],
)
def test_a_content_type_that_is_not_read(api: API, content_type: str) -> None:
    answer = api.send_raw(b"x", content_type, urlencode(api.fields()), status=415)
    assert answer["code"] == "200"


@pytest.mark.parametrize("content_type", [FORM, JSON, MULTIPART])
def test_a_body_over_djangos_limit(api: API, settings: Settings, content_type: str) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    fields = api.fields(message="x" * 1000)
    bodies = {FORM: urlencode(fields).encode(), JSON: json.dumps(fields).encode(), MULTIPART: body(api, **fields)}
    answer = api.send_raw(bodies[content_type], content_type, status=413)
    assert answer["code"] == "200"


def test_too_many_fields_and_files(api: API, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
    query = urlencode({"api_key_token": api.key})
    assert api.send_raw(body(api, part(b'name="a"', b"1") * 10), MULTIPART, query)["code"] == "200"
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 1
    files = part(b'name="attachment"; filename="a.pdf"', PDF) * 2
    assert api.send_raw(body(api, files), MULTIPART, query)["code"] == "200"


CHUNKED = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}


def chunked(rf: RequestFactory, api: API, stream: Any, **environ: Any) -> Any:
    """Return the answer to a request whose body is in a stream of unknown length, as gunicorn hands it on."""
    path = f"{SEND}?{urlencode({'api_key_token': api.key})}"
    request = rf.generic("POST", path, b"-", MULTIPART, **{"wsgi.input": stream, **CHUNKED, **environ})
    with closing(request):
        return MessageSend.as_view()(request).render()


@pytest.mark.sends
def test_a_body_in_chunks(api: API, rf: RequestFactory) -> None:
    """As curl sends a file from a pipe. Django takes it for empty."""
    whole = body(api, part(b'name="attachment"; filename="a.pdf"', PDF))
    answer = api.read(chunked(rf, api, io.BytesIO(whole), **{"wsgi.input_terminated": True}))
    assert answer["payload"]["attachment_name"] == "a.pdf"


def test_a_body_in_chunks_that_is_cut_off_or_too_long(api: API, rf: RequestFactory, settings: Settings) -> None:
    whole = body(api, part(b'name="attachment"; filename="a.pdf"', PDF * 100))
    ends = {"wsgi.input_terminated": True}
    assert api.read(chunked(rf, api, io.BytesIO(whole[:-10]), **ends))["code"] == "200"
    assert api.read(chunked(rf, api, HangsUp(), **ends))["code"] == "200"
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 100}
    with pytest.MonkeyPatch.context() as small:
        small.setattr("ossn_messaging.attachments.uploads.MAX_BODY_OVERHEAD", 1000)
        assert api.read(chunked(rf, api, io.BytesIO(whole), **ends), 413)["code"] == "200"


def test_a_body_in_chunks_of_which_the_server_tells_no_end(api: API, rf: RequestFactory) -> None:
    assert api.read(chunked(rf, api, io.BytesIO(body(api))), 411)["code"] == "200"


@pytest.mark.sends
def test_asgi(api: API, arf: AsyncRequestFactory) -> None:
    """With HTTP/2, no header need tell the length of a body."""
    whole = body(api, part(b'name="attachment"; filename="a.pdf"', PDF))
    for length in (str(len(whole)), ""):
        request = arf.generic("POST", SEND, whole, MULTIPART)
        request.META["CONTENT_LENGTH"] = length
        request._stream = io.BytesIO(whole)
        with closing(request):
            response: Any = MessageSend.as_view()(request)
            assert api.read(response.render())["payload"]["attachment_name"] == "a.pdf"


@pytest.mark.sends
@pytest.mark.parametrize(
    "content_type", [MULTIPART.replace("multipart", "Multipart"), 'multipart/form-data; boundary="frontier"']
)
def test_a_content_type_in_other_words(api: API, content_type: str) -> None:
    assert api.send_raw(body(api), content_type)["code"] == "100"


@pytest.mark.sends
def test_json_of_other_clients(api: API) -> None:
    """With a byte order mark, with empty lists, and with what the protocol knows nothing of."""
    fields = {**api.fields(), "attachment": [], "tags": ["a"], "device": {"os": "b"}}
    assert api.send_raw(b"\xef\xbb\xbf" + json.dumps(fields).encode(), JSON)["code"] == "100"


def test_a_host_that_is_not_the_sites(api: API, settings: Settings) -> None:
    """Where the site's CommonMiddleware lets it through."""
    settings.MIDDLEWARE = []
    answer = api.read(api.client.post(SEND, api.fields(), headers={"Host": "evil.example"}))
    assert (answer["code"], answer["url"], answer["merchant"]) == ("200", "/", "localhost")


@pytest.mark.sends
def test_a_request_that_a_middleware_has_read(api: API, settings: Settings) -> None:
    settings.MIDDLEWARE = ["tests.site.reads_post", *settings.MIDDLEWARE]
    api.ok()
    api.ok(attachment=upload("photo.png"))
    assert api.send_raw(urlencode(api.fields()).encode(), FORM)["code"] == "100"


@pytest.mark.sends
@pytest.mark.sends
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    content_type=st.sampled_from([MULTIPART, FORM, JSON, "multipart/form-data; boundary=", "text/html"])
    | st.text("az/;= "),
    content=st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"--frontier",
                b"--",
                b"\r\n",
                b'Content-Disposition: form-data; name="message"',
                b"\0",
                b"x",
                b'{"',
                b"%",
                b"&",
                b"=",
            ]
        )
    ).map(b"".join),
    query=st.text("ab=&%f0\0", max_size=20),
)
def test_any_request_gets_an_envelope(api: API, content_type: str, content: bytes, query: str) -> None:
    path = f"{SEND}?api_key_token={api.key}&{quote(query, safe='=&%')}"
    response = api.client.generic("POST", path, content, content_type)
    assert response.status_code in (200, 413, 415)
    assert api.read(response, response.status_code)["code"] in ("106", "200")


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_file_that_is_not_read_to_its_end(api: API, settings: Settings, is_whole: bool) -> None:
    """If a parameter is missing before the file, it may be in the rest of the body, which is not read."""
    settings.OSSN_MESSAGING = {"ATTACHMENT_MAX_SIZE": 1}
    file = part(b'name="attachment"; filename="a.pdf"', b"x" * (max_body_size() + 1))
    recipient = part(b'name="to"', str(api.recipient.pk).encode())
    parts = [recipient, file] if is_whole else [file, recipient]
    fields = {name: value for name, value in api.fields().items() if name != "to"}
    before = b"".join(part(b'name="%s"' % name.encode(), value.encode()) for name, value in fields.items())
    sent = b"".join([before, *parts, b"--frontier--\r\n"])
    answer = api.send_raw(sent, MULTIPART, status=200 if is_whole else 413)
    text = "the attachment is too large" if is_whole else "the request is too large"
    assert (answer["code"], answer["message"]) == ("200", f"Message send failed: {text}")
