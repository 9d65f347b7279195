"""The program that inspects files: ``python -m ossn_messaging.attachments.inspection_server``.

A web worker starts it with a socket as its standard input. For each file, the worker sends one byte and three file
descriptors: a socket for the answer, the file, and an empty file for the content to store. The server forks a child.
The child reads its rules and limits from the socket, sets the limits in the kernel, inspects the file and writes its
answer as a line of JSON. After the child has ended, the server adds a line with its exit code. If the worker closes its
end of the standard input, or dies, the server kills its children and exits.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from PIL import Image

from ossn_messaging.attachments.content import sanitize
from ossn_messaging.attachments.rules import Limits, Reason, Rejected, Rules

Image.MAX_IMAGE_PIXELS = None  # the rules have their own limit
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


class Server:
    """A server that forks a child for each file."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.child_ended, self.wakeup = socket.socketpair()
        self.wakeup.setblocking(False)
        self.children: dict[int, socket.socket] = {}
        """The socket for the answer of each running child, by its process id."""

    def serve(self) -> None:
        """Serve until the worker closes ``control``, then kill the children that still run."""
        signal.set_wakeup_fd(self.wakeup.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A worker that is told to stop finishes its requests first, and needs the server for them.
            signal.signal(number, signal.SIG_IGN)
        is_open = True
        while is_open:
            ready, _, _ = select.select([self.control, self.child_ended], [], [])
            if self.child_ended in ready:
                self._report_ended()
            if self.control in ready:
                is_open = self._accept()
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)

    def _accept(self) -> bool:
        """Fork a child for the next file, and return whether the worker sent one."""
        message, descriptors, _flags, _address = socket.recv_fds(self.control, 1, 3)
        if not message:
            return False
        reply = socket.socket(fileno=descriptors[0])
        try:
            pid = os.fork()
        except OSError:
            report(reply, {"exit": None})
        else:
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for inherited in (self.control, self.child_ended, self.wakeup, *self.children.values()):
                    inherited.close()
                run_child(reply, *descriptors[1:])
            self.children[pid] = reply
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        return True

    def _report_ended(self) -> None:
        self.child_ended.recv(1024)
        for pid in list(self.children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                report(self.children.pop(pid), {"exit": os.waitstatus_to_exitcode(status)})


def report(reply: socket.socket, answer: dict[str, Any]) -> None:
    """Write a line to the worker, and close the socket."""
    with reply, contextlib.suppress(OSError):  # the worker may have given up
        reply.sendall(json.dumps(answer).encode() + b"\n")


def run_child(reply: socket.socket, file: int, output: int) -> NoReturn:
    """Inspect one file, and exit."""
    server = os.getppid()
    try:
        with reply.makefile("rb") as lines:
            request = json.loads(lines.readline())
        limits = Limits(**request["limits"])
        restrict(server, limits)
        report(reply, inspect(file, output, Rules(**request["rules"]), limits))
    finally:
        os._exit(0)


def restrict(server: int, limits: Limits) -> None:
    """Limit this process: it ends with its server, gains no privileges, and can't open files or connections."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != server:
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for name, soft, hard in (
        (resource.RLIMIT_NOFILE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, limits.memory, limits.memory),
        (resource.RLIMIT_CPU, limits.processor_seconds, limits.processor_seconds + 1),
        (resource.RLIMIT_FSIZE, limits.file_size, limits.file_size),
    ):
        lower_limit(name, soft, hard)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)


def lower_limit(name: int, soft: int, hard: int) -> None:
    """Set a limit of this process, unless the system has set a lower one already."""
    highest = resource.getrlimit(name)[1]
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(name, (soft, hard))


def inspect(file: int, output: int, rules: Rules, limits: Limits) -> dict[str, Any]:
    """Return the answer for the worker."""
    try:
        with os.fdopen(file, "rb") as source, os.fdopen(output, "wb") as target:
            source.seek(0)
            sanitized = sanitize(source.read(), rules)
            if sanitized is not None:
                target.write(sanitized)
    except Rejected as error:
        return {"reason": error.reason, "detail": error.detail}
    except MemoryError:
        return {"reason": Reason.TAKES_TOO_MUCH, "detail": f"{limits.memory} bytes of memory"}
    except Exception:
        return {"error": traceback.format_exc()}
    return {"done": True}


if __name__ == "__main__":
    Server(socket.socket(fileno=0)).serve()
