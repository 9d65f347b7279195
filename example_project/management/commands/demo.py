import shlex
import socket
import textwrap
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from gunicorn.app.base import BaseApplication
from PIL import Image

from example_project.settings import DATA_DIR
from example_project.wsgi import application
from ossn_messaging.models import APIKey

HOST = "127.0.0.1"


class Command(BaseCommand):
    help = "Sets up the demo (SQLite, two users, a key) and serves it on this machine alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the port to try first (default: %(default)s)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        if connection.vendor != "sqlite":
            raise CommandError("The demo makes users with known passwords; it uses SQLite and no other database.")
        call_command("migrate", verbosity=0)
        sender = self._user("arsalanshah", "Arsalan", "Shah")
        recipient = self._user("testuser", "Some", "Name")
        self._user("admin", "", "", is_staff=True, is_superuser=True, password=make_password("admin"))
        APIKey.objects.filter(name="demo").revoke()
        _api_key, key = APIKey.objects.create_key("demo")
        pdf = DATA_DIR / "dummy.pdf"
        Image.new("RGB", (200, 100), "white").save(pdf)

        listener = self._listen(port)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        self.stdout.write(
            textwrap.dedent(f"""
                Send a message:

                curl {url}/api/v2.0/message/send \\
                  -F api_key_token={key} \\
                  -F from={sender.pk} \\
                  -F to={recipient.pk} \\
                  -F message=Test \\
                  -F attachment=@{shlex.quote(str(pdf))}

                Or from the browser: {url}/api/docs/ (Authorize with Api-Key {key})
                To read: {url}/api/redoc/, and for programs {url}/api/schema/

                Admin: {url}/admin/ (admin, password admin)

                Stop it with Ctrl-C.
            """)
        )
        self.stdout.flush()
        Server(listener).run()

    def _user(self, username: str, first_name: str, last_name: str, **others: Any) -> User:
        names = {"first_name": first_name, "last_name": last_name}
        user, _created = get_user_model().objects.get_or_create(username=username, defaults={**names, **others})
        return user

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
        if "control_socket_disable" in self.cfg.settings:  # only newer versions have it
            self.cfg.set("control_socket_disable", True)

    def load(self) -> Any:
        return application
