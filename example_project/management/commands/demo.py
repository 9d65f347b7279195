import shlex
import socket
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from gunicorn.app.base import BaseApplication
from PIL import Image

from example_project.settings import DATA_DIR
from example_project.wsgi import application
from ossn_messaging.models import APIKey

HOST = "127.0.0.1"
TEXT = """
The demo runs at {url}/ and answers this machine only.
Log in there as {sender}, {recipient} or admin. The password of each is the username.

Send a message as {sender}:

{send}

Read it as {recipient}:

{read}

Answer it as {recipient}:

{answer}

Or send one from the browser: {url}/api/docs/ (Authorize with Api-Key {key})

Users, messages and the key are kept in {folder}.
To start afresh, stop the demo and delete this folder: rm -r {folder}

Requests are shown below. Stop the demo with Ctrl-C.
"""


class Command(BaseCommand):
    help = "Sets up the demo (SQLite, two users, an admin, a key) and serves it on this machine alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the port to try first (default: %(default)s)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if connection.vendor != "sqlite":
            raise CommandError("The demo makes users with known passwords; it uses SQLite and no other database.")
        call_command("migrate", verbosity=0)
        sender = self._user("arsalanshah", first_name="Arsalan", last_name="Shah")
        recipient = self._user("testuser", first_name="Some", last_name="Name")
        self._user("admin", is_staff=True, is_superuser=True)
        key = self._key()
        pdf = DATA_DIR / "dummy.pdf"
        Image.new("RGB", (200, 100), "white").save(pdf)

        listener = self._listen(port)
        url = f"http://{HOST}:{listener.getsockname()[1]}"

        def curl(path: str, fields: dict[str, Any]) -> str:
            given = [shlex.quote(f"{name}={value}") for name, value in {"api_key_token": key, **fields}.items()]
            lines = [f"curl -sS {url}/api/v2.0/message/{path}", *(f"  -F {field}" for field in given)]
            return " \\\n".join(lines) + " | python3 -m json.tool"

        there, back = {"from": sender.pk, "to": recipient.pk}, {"from": recipient.pk, "to": sender.pk}
        self.stdout.write(
            TEXT.format(
                url=url,
                key=key,
                sender=sender,
                recipient=recipient,
                send=curl("send", {**there, "message": "Test", "attachment": f"@{pdf}"}),
                read=curl("list", {"guid": recipient.pk, "to": sender.pk, "markallread": 1}),
                answer=curl("send", {**back, "message": "Thank you"}),
                folder=shlex.quote(str(DATA_DIR)),
            )
        )
        self.stdout.flush()
        Server(listener).run()

    def _user(self, username: str, **others: Any) -> User:
        defaults: dict[str, Any] = {"password": partial(make_password, username), **others}
        user, _created = get_user_model().objects.get_or_create(username=username, defaults=defaults)
        return user

    @transaction.atomic
    def _key(self) -> str:
        """Return the key that was printed before if it is still active, or a new one."""
        file = DATA_DIR / "api_key"
        file.touch()
        file.chmod(0o600)
        key = file.read_text()
        if APIKey.objects.find(key) is None:
            APIKey.objects.filter(name="demo").revoke()
            _api_key, key = APIKey.objects.create_key("demo")
            file.write_text(key)
        return key

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            listener.bind((HOST, 0))
            self.stdout.write(f"Port {port} is taken; using {listener.getsockname()[1]}.")
        listener.listen()
        return listener


class Server(BaseApplication):
    """Gunicorn on a socket that is already open, so that no other program can take the printed port."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("bind", f"fd://{self.listener.fileno()}")
        self.cfg.set("worker_class", "gthread")
        self.cfg.set("threads", 8)
        self.cfg.set("loglevel", "warning")
        self.cfg.set("accesslog", "-")
        self.cfg.set("access_log_format", '%(t)s "%(r)s" %(s)s %(b)s')
        if "control_socket_disable" in self.cfg.settings:  # only newer versions have it
            self.cfg.set("control_socket_disable", True)

    def load(self) -> Any:
        return application
