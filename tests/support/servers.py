"""Real servers for the tests: S3 by rclone, nginx, and a wire on which something happens half-way."""

import os
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

HOST = "127.0.0.1"
SECONDS = 30
"""How long a server may take to be ready, or a condition to come true."""
CHUNK = 64 * 1024


def absent(what: str) -> NoReturn:
    """Skip a test that needs what this machine does not have; in CI it fails."""
    if "CI" in os.environ:
        pytest.fail(f"{what} is absent, and this is CI")
    pytest.skip(f"{what} is absent")


def plain_environment(**changes: str) -> dict[str, str]:
    """Return the environment without what the tests themselves are run with, and with ``changes``."""
    mine = ("COV", "DATABASE", "DJANGO")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)} | changes


def wait_until(condition: Callable[[], object], pause: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"still waiting after {SECONDS} seconds")
        pause()


def reset_when_closed(connection: socket.socket) -> None:
    """Let a connection that is closed be reset, as if its host had gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=SECONDS):
        return True
    return False


@contextmanager
def running(command: Sequence[str | Path], port: int, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a server, wait until it takes connections, and kill it at the end, even if it was stopped.

    ``options`` are those of ``Popen``.
    """
    with subprocess.Popen(command, **options) as process:

        def pause() -> None:
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"{command[0]} ended with status {process.wait(0.01)} before it was ready")

        try:
            wait_until(lambda: accepts(port), pause)
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class S3Server:
    """A server of S3; each folder in its folder is a bucket, and each file in a bucket an object."""

    url: str
    access_key: str
    secret_key: str
    process: "subprocess.Popen[bytes]"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def options(self, bucket: str, **changes: Any) -> dict[str, Any]:
        """Return the options of ``S3AttachmentStorage`` for a bucket."""
        return {
            "bucket_name": bucket,
            "endpoint_url": self.url,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "region_name": "us-east-1",
            "addressing_style": "path",
            **changes,
        }

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def stop(self) -> None:
        """Let it hold every connection and answer none, until ``go_on``."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def through_wire(self, after: int, do: Callable[[], None]) -> Iterator["S3Server"]:
        """Yield this server behind a ``wire``; what is signed for the one's address is not good at the other's."""
        with wire((HOST, self.port), after, do) as url:
            yield replace(self, url=url)


@contextmanager
def s3_server(folder: Path, port: int | None = None) -> Iterator[S3Server]:
    """Start ``rclone serve s3`` on a folder; it sees what else happens there a millisecond later.

    Told to see it at once, it is busy for seconds.
    """
    rclone = Path(sysconfig.get_path("scripts"), "rclone")
    if not rclone.exists():
        absent("rclone")
    port = port or free_port()
    keys = ("the-access-key", "the-secret-key")
    options = ["--config=", f"--addr={HOST}:{port}", f"--auth-key={','.join(keys)}", "--dir-cache-time=1ms"]
    with running([rclone, "serve", "s3", *options, folder], port) as process:
        yield S3Server(f"http://{HOST}:{port}", *keys, process)


@contextmanager
def wire(target: tuple[str, int], after: int, do: Callable[[], None]) -> Iterator[str]:
    """Yield the URL of a proxy that calls ``do`` once when ``after`` bytes have passed from clients to the target.

    All connections count together. When one end closes a connection, the other is closed too.
    """
    lock = threading.Lock()
    passed = 0

    def note(size: int) -> None:
        nonlocal passed
        with lock:
            before, passed = passed, passed + size
            if before < after <= passed:
                do()

    def pump(source: socket.socket, sink: socket.socket, seen: Callable[[int], None]) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
                seen(len(data))
        hang_up(source)
        hang_up(sink)

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection(target, timeout=SECONDS) as far:
                far.settimeout(None)
                ends.callback(hang_up, far)
                back = threading.Thread(target=pump, args=(far, self.request, lambda size: None))
                back.start()
                pump(self.request, far, note)
                back.join()

    with socketserver.ThreadingTCPServer((HOST, 0), Connection) as server, ExitStack() as ends:
        accepting = threading.Thread(target=server.serve_forever, args=(0.01,))
        accepting.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            accepting.join()


def hang_up(end: socket.socket) -> None:
    """End what waits on a connection; ``close`` alone would leave a thread waiting."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


NGINX = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    {http}
    types {{}}
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {host}:{port};
        {server}
    }}
}}
"""
PASS = """
client_max_body_size 0;
location / {{
    proxy_pass http://{upstream};
    proxy_set_header Host $http_host;
}}
"""


@contextmanager
def nginx(folder: Path, upstream: str, location: str = "", log: str = "access_log off;") -> Iterator[str]:
    """Yield the URL of an nginx before ``upstream``, which is ``host:port``, with one more ``location``."""
    with configured_nginx(folder, http=log, server=PASS.format(upstream=upstream) + location) as url:
        yield url


@contextmanager
def configured_nginx(folder: Path, *, http: str, server: str) -> Iterator[str]:
    """Yield the URL of an nginx with these lines in ``http { }`` and in the ``server { }`` there."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        absent("nginx")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(host=HOST, port=port, http=http, server=server))
    with running([program, "-e", "stderr", "-p", folder, "-c", config], port):
        yield f"http://{HOST}:{port}"
