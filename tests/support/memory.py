"""What a request costs in memory.

``python -m tests.support.memory STORAGE BODY...`` prints the rise of each over a text's. It is a
process of its own, in which nothing else is measured. STORAGE is the JSON of the storage's settings, and each BODY the
file of a multipart body with the boundary of Django's test client.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, cast

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test.client import MULTIPART_CONTENT

from tests.support.servers import HOST

SEND = "/api/v2.0/message/send"


def peak() -> int:
    """Return the most memory that this process has held since ``forget_peak``, in bytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main(storage: str, *bodies: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    settings.STORAGES = {**settings.STORAGES, "ossn_messaging": json.loads(storage)}
    settings.MIDDLEWARE = []
    django.setup()
    call_command("migrate", verbosity=0)

    from django.contrib.auth.models import User

    from ossn_messaging.models import APIKey

    sender, recipient = (User.objects.create_user(name) for name in ("sender", "recipient"))
    _api_key, key = APIKey.objects.create_key("memory")
    application = get_wsgi_application()

    def send(query: str, body: str = os.devnull) -> int:
        forget_peak()
        with open(body, "rb") as file:
            environ = {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": SEND,
                "QUERY_STRING": f"from={sender.pk}&to={recipient.pk}&message=Test{query}",
                "HTTP_AUTHORIZATION": f"Api-Key {key}",
                "CONTENT_TYPE": MULTIPART_CONTENT,
                "CONTENT_LENGTH": str(os.path.getsize(body)),
                "SERVER_NAME": HOST,
                "SERVER_PORT": "80",
                "HTTP_HOST": "testserver",
                "wsgi.input": file,
                "wsgi.url_scheme": "http",
                "wsgi.errors": sys.stderr,
            }
            response = cast("Any", application(environ, cast("Any", lambda *args: None)))
            answer = json.loads(b"".join(response))
            response.close()
        if answer["code"] != "100":
            sys.exit(answer["message"])
        return peak()

    for body in bodies:  # until what is imported is imported, and what is cached is cached
        send("", body)
    text = min(send("") for _ in range(3))
    sys.stdout.write(json.dumps([send("", body) - text for body in bodies]))


if __name__ == "__main__":
    main(*sys.argv[1:])
