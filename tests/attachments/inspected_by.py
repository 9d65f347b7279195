"""Behaviours of an inspection that no known file causes: what a child does in the place of ``content.sanitize``."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable

from ossn_messaging.attachments import inspection_server
from ossn_messaging.attachments.rules import Reason, Rejected, Rules


def program(name: str) -> str:
    """Return the source of an inspection server whose children call a function of this module."""
    return f"from tests.attachments import inspected_by; inspected_by.serve(inspected_by.{name})"


def serve(behaviour: Callable[[bytes, Rules], bytes | None]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    setattr(inspection_server, "sanitize", behaviour)  # noqa: B010
    inspection_server.Server(socket.socket(fileno=0)).serve()


def takes_memory(content: bytes, rules: Rules) -> bytes:
    return bytes(2**31)


def takes_processor_time(content: bytes, rules: Rules) -> None:
    while True:
        pass


def is_too_large(content: bytes, rules: Rules) -> None:
    raise Rejected(Reason.TOO_LARGE)


def is_killed(content: bytes, rules: Rules) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_killed_if_png(content: bytes, rules: Rules) -> None:
    if rules.file_type == "PNG":
        is_killed(content, rules)


def crashes(content: bytes, rules: Rules) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def sleeps(content: bytes, rules: Rules) -> None:
    signal.pause()


def fails(content: bytes, rules: Rules) -> None:
    raise OSError("the disk failed")


def exits(content: bytes, rules: Rules) -> None:
    os._exit(0)


def ends_with_its_server(content: bytes, rules: Rules) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)


def waits_to_be_continued(content: bytes, rules: Rules) -> None:
    signal.sigwait({signal.SIGUSR1})


def tries_to_reach_out(content: bytes, rules: Rules) -> None:
    assert "DATABASE_URL" not in os.environ
    for attempt in (
        lambda: open(__file__, "rb"),
        socket.socket,
        os.pipe,
        lambda: subprocess.run(["true"], check=True, capture_output=True),
    ):
        try:
            attempt()
        except OSError:
            continue
        raise AssertionError("It reached out.")
