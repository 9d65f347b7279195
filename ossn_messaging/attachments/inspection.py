"""The inspection of a file in a process that the kernel limits.

Each web worker starts one server (see ``inspection_server``) when it gets its first attachment.
"""

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Any

from ossn_messaging.attachments.rules import Limits, Reason, Rejected, Rules
from ossn_messaging.conf import conf
from ossn_messaging.exceptions import ServiceUnavailable

logger = logging.getLogger(__name__)

IS_SUPPORTED = hasattr(socket, "send_fds") and hasattr(os, "fork")
"""Whether this system can inspect files in processes: Windows can't."""
QUEUE_SECONDS = 20
"""How long a file waits for a free process."""
CLOCK_FACTOR = 2
"""A child may take this many times its processor seconds by the clock. More means that the machine is overloaded."""
GRACE_SECONDS = 5
"""How long the server may take to report that the kernel has stopped a child."""
PROGRAM = ("-m", "ossn_messaging.attachments.inspection_server")


class InspectionServer:
    """A running ``inspection_server``. It exits when this process closes its end of the socket, or dies."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        try:
            # The server inherits no open files, and no environment because that may contain secrets.
            self.process = subprocess.Popen(  # noqa: S603, no argument comes from a request
                [_python(), "-P", *PROGRAM],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)},
            )
        except OSError:
            self.control.close()
            raise
        finally:
            theirs.close()

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()

    def ask(self, file: IO[bytes], output: IO[bytes], request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Return the answer of the child that inspects ``file``, and its exit code as ``"exit"``.

        Raises ``OSError`` if the server is gone, or does not answer within ``timeout`` seconds.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                ours.settimeout(timeout)
                ours.sendall(json.dumps(request).encode() + b"\n")
                socket.send_fds(self.control, [b"\0"], [theirs.fileno(), file.fileno(), output.fileno()])
            answer: dict[str, Any] = {}
            with ours.makefile("rb") as lines:
                for line in lines:
                    answer |= json.loads(line)
        if "exit" not in answer:
            raise ConnectionResetError("The inspection server ended.")
        return answer


def _python() -> str:
    """Return the Python of this environment. If a server embeds Python, ``sys.executable`` is that server."""
    if os.path.basename(sys.executable).startswith("python"):
        return sys.executable
    return os.path.join(sys.prefix, "bin", "python3")


class InspectionPool:
    """The inspections of this process: at most ``INSPECTION_PROCESSES`` at once."""

    server: InspectionServer | None = None

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running = 0

    def inspect(self, file: IO[bytes], output: IO[bytes], rules: Rules) -> None:
        """Inspect ``file``. If it is an image, write the content to store to ``output``.

        Raises ``Rejected`` if the file breaks a rule, and ``ServiceUnavailable`` if the file could not be inspected.
        """
        limits = Limits(
            memory=conf.INSPECTION_MEMORY,
            processor_seconds=conf.INSPECTION_PROCESSOR_SECONDS,
            seconds=conf.INSPECTION_PROCESSOR_SECONDS * CLOCK_FACTOR,
            file_size=rules.max_size,
        )
        request = {"limits": asdict(limits), "rules": asdict(rules)}
        with self._slot():
            answer = self._ask(file, output, request, limits.seconds + GRACE_SECONDS)
        _conclude(answer, limits)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        with self.changed:
            if not self.changed.wait_for(lambda: self.running < conf.INSPECTION_PROCESSES, QUEUE_SECONDS):
                raise ServiceUnavailable from TimeoutError(f"No inspection process was free for {QUEUE_SECONDS} s.")
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify()

    def _ask(self, file: IO[bytes], output: IO[bytes], request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Return the answer of the server. If the server is gone, start another and ask once more."""
        try:
            return self._ask_once(file, output, request, timeout)
        except TimeoutError as error:
            raise ServiceUnavailable from error
        except OSError:
            pass
        try:
            return self._ask_once(file, output, request, timeout)
        except OSError as error:
            raise ServiceUnavailable from error

    def _ask_once(self, file: IO[bytes], output: IO[bytes], request: dict[str, Any], timeout: float) -> dict[str, Any]:
        server = self._running_server()
        try:
            return server.ask(file, output, request, timeout)
        except OSError:
            self._drop(server)
            raise

    def _drop(self, server: InspectionServer) -> None:
        """Stop a server. If another thread has started the next one already, that one stays."""
        with self.changed:
            if self.server is server:
                self.server = None
        server.close()

    def _running_server(self) -> InspectionServer:
        with self.changed:
            if self.server is None:
                self.server = InspectionServer()
            return self.server

    def close(self) -> None:
        """Stop the server and its running inspections. The next inspection starts another server."""
        if server := self.server:
            self._drop(server)

    def leave_to_parent(self) -> None:
        """Forget the parent's server after a fork. This process starts a new server when it needs one."""
        if self.server:
            self.server.control.close()
            self.server.process.returncode = 0  # the server is a child of the parent
            self.server = None
        self.changed, self.running = threading.Condition(), 0


def _conclude(answer: dict[str, Any], limits: Limits) -> None:
    """Raise the exception for an answer that reports a failure."""
    exit_code = answer["exit"]
    if exit_code == -signal.SIGXCPU:
        answer = {"reason": Reason.TAKES_TOO_MUCH, "detail": f"{limits.processor_seconds} s of processor time"}
    elif exit_code not in (None, 0, -signal.SIGALRM):
        # For example, the kernel's out-of-memory killer ended it, or a library crashed.
        answer = {"reason": Reason.TAKES_TOO_MUCH, "detail": f"what ended it with exit code {exit_code}"}
    if "reason" in answer:
        reason, detail = Reason(answer["reason"]), str(answer["detail"])
        if reason is Reason.TAKES_TOO_MUCH:
            logger.warning("An attachment was refused. Its inspection took more than %s.", detail)
        raise Rejected(reason, detail)
    if "done" not in answer:
        error = answer.get("error", f"The inspection ended without an answer, with exit code {exit_code}.")
        raise ServiceUnavailable from RuntimeError(error)


_pool = InspectionPool()
os.register_at_fork(after_in_child=_pool.leave_to_parent)
atexit.register(_pool.close)


def inspect(file: IO[bytes], output: IO[bytes], rules: Rules) -> None:
    """Check a file by ``rules``. If it is an image, write the content to store to ``output``.

    Both files need file descriptors. Raises ``Rejected`` if the file breaks a rule or its inspection needs too much
    time or memory, and ``ServiceUnavailable`` if the file could not be inspected.
    """
    if conf.INSPECTION_PROCESSES:
        _pool.inspect(file, output, rules)
        return
    from ossn_messaging.attachments.content import sanitize  # imports Pillow, which a worker does not need otherwise

    file.seek(0)
    sanitized = sanitize(file.read(), rules)
    if sanitized is not None:
        try:
            with open(output.fileno(), "wb", closefd=False) as target:
                target.write(sanitized)
        except OSError as error:
            raise ServiceUnavailable from error
