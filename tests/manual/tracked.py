"""What Sentry's SDK would send of a site's requests: ``python -m tests.manual.tracked RECIPE OPTIONS`` prints it.

RECIPE is a file that calls ``sentry_sdk.init``, and OPTIONS the JSON of more options. It is a process of its own,
because the SDK patches Django for good. The key and the text are made in it, because an event has lines of the code.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlencode

import django
import sentry_sdk
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import AsyncRequestFactory, RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from tests.support.servers import SECONDS

SEND = "/api/v2.0/message/send"
SENT: list[dict[str, Any]] = []


class Collecting(Transport):
    """Keeps in ``SENT`` what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        SENT.extend({"type": item.type, "content": json.loads(item.get_bytes())} for item in envelope.items)


def requests(keys: list[str], text: str, sender: int, good: int, broken: int) -> Iterator[dict[str, Any]]:
    """Yield what a test client takes for requests with a key in every way: good ones, and such as fail."""
    for key in keys:
        for path, recipient in ((SEND, good), (SEND, broken), ("/failing", good)):
            fields = {"from": str(sender), "to": str(recipient), "message": text}
            given = {"api_key_token": key, **fields}
            in_header = {"authorization": f"Api-Key {key}", "referer": f"http://testserver/?{urlencode(given)}"}
            post = {"method": "POST", "path": path}
            yield {"method": "GET", "path": f"{path}?{urlencode(given)}"}
            yield {**post, "data": urlencode(given), "content_type": "application/x-www-form-urlencoded"}
            yield {**post, "data": json.dumps(given), "content_type": "application/json"}
            yield {**post, "data": encode_multipart(BOUNDARY, given), "content_type": MULTIPART_CONTENT}
            yield {**post, "data": json.dumps(fields), "content_type": "application/json", "headers": in_header}


def ask_wsgi(**options: Any) -> int:
    statuses: list[str] = []
    environ = RequestFactory().generic(**options).environ
    application: Any = get_wsgi_application()
    answer = application(environ, lambda status, headers: statuses.append(status))
    b"".join(answer)
    answer.close()
    return int(statuses[0].split()[0])


async def ask_asgi(**options: Any) -> int:
    request = AsyncRequestFactory().generic(**options)
    scope = {**request.scope, "query_string": request.META["QUERY_STRING"].encode()}
    communicator: Any = ApplicationCommunicator
    exchange = communicator(get_asgi_application(), scope)
    await exchange.send_input({"type": "http.request", "body": request.body})
    start = await exchange.receive_output(SECONDS)
    while (await exchange.receive_output(SECONDS)).get("more_body"):
        pass
    await exchange.wait()
    return int(start["status"])


def follow(recipe: str, more: dict[str, Any]) -> None:
    """Run a recipe with more options."""
    init = sentry_sdk.init

    def init_with_more(**options: Any) -> Any:
        if more.get("trace_lifecycle") == "stream" and "before_send" in options:
            options["before_send_span"] = options["before_send"]
        return init(**options, **more, transport=Collecting, traces_sample_rate=1.0)

    sentry_sdk.init = init_with_more  # type: ignore[assignment,misc]
    exec(Path(recipe).read_text(), {"__name__": "tracking"})


def main(recipe: str, more: str) -> None:
    follow(recipe, json.loads(more))
    text = f"text-{token_hex()}"
    os.environ["TEXT"] = text
    settings.ROOT_URLCONF = "tests.manual.failing"
    settings.OSSN_MESSAGING = {"CAN_SEND": "tests.manual.failing.can_send"}
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    from ossn_messaging.models import APIKey

    keys = {"own key": APIKey.objects.create_key("own")[1], "imported key": token_hex(16)}
    APIKey.objects.import_key("imported", keys["imported key"])
    anna, ben, broken = (User.objects.create_user(name).pk for name in ("anna", "ben", "broken"))
    statuses = []
    for options in requests(list(keys.values()), text, anna, ben, broken):
        statuses += [ask_wsgi(**options), asyncio.run(ask_asgi(**options))]
    sentry_sdk.flush()
    json.dump({"secrets": {**keys, "text": text}, "statuses": statuses, "sent": SENT}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
