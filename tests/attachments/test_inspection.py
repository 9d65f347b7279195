"""Inspections in processes: their limits, what happens when one is stopped, and what they can reach."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from pytest_django import Settings

from ossn_messaging.attachments import inspection
from ossn_messaging.attachments.rules import Reason
from ossn_messaging.attachments.validation import validate_upload
from ossn_messaging.exceptions import AttachmentRefused, AttachmentTooLarge, ServiceUnavailable
from tests.attachments import inspected_by
from tests.support.files import SAMPLES
from tests.support.servers import wait_until


def validate(name: str = "dummy.pdf") -> bytes:
    """Return what would be stored of a sample."""
    with validate_upload(ContentFile(SAMPLES[name], name)) as validated:
        return bytes(validated.file.read())


def server_pid() -> int:
    server = inspection._pool.server
    assert server is not None
    return int(server.process.pid)


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that lets inspections run a function of ``tests.attachments.inspected_by`` instead."""
    inspection._pool.close()

    def behave_as(name: str) -> None:
        inspection._pool.close()
        monkeypatch.setattr(inspection, "PROGRAM", ("-c", inspected_by.program(name)))

    yield behave_as
    inspection._pool.close()


@pytest.mark.parametrize(
    ("behaviour", "limit"),
    [
        ("takes_memory", "took more than 1073741824 bytes of memory"),
        ("takes_processor_time", "took more than 1 s of processor time"),
        ("is_killed", "exit code -9"),
        ("crashes", "exit code -11"),
    ],
)
def test_a_file_that_takes_too_much_is_refused(
    settings: Settings,
    behave: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    limit: str,
) -> None:
    monkeypatch.setattr(inspection, "CLOCK_FACTOR", 100)  # the machine may be busy
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSOR_SECONDS": 1}
    behave(behaviour)
    with pytest.raises(AttachmentRefused) as refused:
        validate("photo.png")
    assert refused.value.reason == Reason.TAKES_TOO_MUCH
    assert str(refused.value) == "Message send failed: the attachment takes too much time or memory to check"
    assert limit in caplog.text
    assert not children(server_pid())


def test_the_pool_is_whole_after_a_refusal(settings: Settings, behave: Callable[[str], None]) -> None:
    behave("is_killed_if_png")
    with pytest.raises(AttachmentRefused):
        validate("photo.png")
    pid = server_pid()
    assert validate() == SAMPLES["dummy.pdf"]
    assert server_pid() == pid


@pytest.mark.parametrize("behaviour", ["sleeps", "fails", "exits"])
def test_what_is_no_fault_of_the_file_is_no_refusal(
    settings: Settings, behave: Callable[[str], None], behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "CLOCK_FACTOR", 0.1)
    behave(behaviour)
    with pytest.raises(ServiceUnavailable) as failed:
        validate()
    assert failed.value.__cause__ is not None


def test_an_inspection_reaches_nothing(behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens no file and no connection, has no environment of the site, and starts no program."""
    monkeypatch.setenv("DATABASE_URL", "a secret")
    behave("tries_to_reach_out")
    assert validate() == SAMPLES["dummy.pdf"]


def test_a_server_that_was_killed_is_replaced() -> None:
    validate()
    pid = server_pid()
    os.kill(pid, signal.SIGKILL)
    assert validate() == SAMPLES["dummy.pdf"]
    assert server_pid() != pid


def test_a_thread_that_is_late_leaves_the_next_server_alone() -> None:
    validate()
    killed = inspection._pool.server
    assert killed is not None
    os.kill(killed.process.pid, signal.SIGKILL)
    validate()
    pid = server_pid()
    inspection._pool._drop(killed)
    assert server_pid() == pid
    assert validate() == SAMPLES["dummy.pdf"]


def test_a_server_that_can_not_start(behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    behave("fails")
    with pytest.raises(ServiceUnavailable):
        validate()


def test_a_server_that_does_not_answer(behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    validate()
    pid = server_pid()
    monkeypatch.setattr(inspection, "CLOCK_FACTOR", 0)
    monkeypatch.setattr(inspection, "GRACE_SECONDS", 0.1)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ServiceUnavailable):
        validate()
    wait_until(lambda: not is_running(pid))


def test_a_server_that_embeds_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/usr/bin/uwsgi")
    inspection._pool.close()
    assert validate() == SAMPLES["dummy.pdf"]


def test_a_system_with_lower_limits(behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may not raise its own limits."""
    lower = "import resource, runpy; resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29)); "
    run = "runpy.run_module('ossn_messaging.attachments.inspection_server', run_name='__main__')"
    monkeypatch.setattr(inspection, "PROGRAM", ("-c", lower + run))
    assert validate() == SAMPLES["dummy.pdf"]


def test_as_many_at_once_as_the_setting_says(settings: Settings, behave: Callable[[str], None]) -> None:
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSES": 2}
    behave("waits_to_be_continued")
    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(validate) for _ in range(3)]
        wait_until(lambda: inspection._pool.server and len(children(server_pid())) == 2)
        assert not any(result.done() for result in results)
        while not all(result.done() for result in results):
            running = children(server_pid())
            assert len(running) <= 2
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)
        assert {result.result() for result in results} == {SAMPLES["dummy.pdf"]}


def test_nobody_waits_for_ever(
    settings: Settings, behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "QUEUE_SECONDS", 0.1)
    behave("waits_to_be_continued")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(validate)
        wait_until(lambda: inspection._pool.server and children(server_pid()))
        with pytest.raises(ServiceUnavailable):
            validate()
        os.kill(children(server_pid())[0], signal.SIGUSR1)
        assert first.result() == SAMPLES["dummy.pdf"]


def test_a_server_that_ends_within_an_inspection(behave: Callable[[str], None]) -> None:
    behave("ends_with_its_server")
    with pytest.raises(ServiceUnavailable):
        validate()


def test_the_children_end_with_their_server(behave: Callable[[str], None]) -> None:
    behave("waits_to_be_continued")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(validate)
        wait_until(lambda: inspection._pool.server and children(server_pid()))
        (child,) = children(server_pid())
        inspection._pool.server.control.close()  # type: ignore[union-attr]
        wait_until(lambda: not is_running(child))
        wait_until(lambda: inspection._pool.server and children(server_pid()))  # the worker asks another server
        os.kill(children(server_pid())[0], signal.SIGUSR1)
        assert result.result() == SAMPLES["dummy.pdf"]


def test_a_process_that_was_forked_has_a_server_of_its_own() -> None:
    validate()
    pid = server_pid()
    forked = os.fork()
    if not forked:
        status = 1
        try:
            status = int(validate() != SAMPLES["dummy.pdf"] or server_pid() == pid)
        finally:
            inspection._pool.close()
            os._exit(status)
    assert os.waitpid(forked, 0)[1] == 0
    assert validate() == SAMPLES["dummy.pdf"]
    assert server_pid() == pid


def test_a_fork_while_another_thread_inspects(behave: Callable[[str], None]) -> None:
    behave("waits_to_be_continued")
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(validate)
        wait_until(lambda: inspection._pool.server and children(server_pid()))
        forked = os.fork()
        if not forked:
            os._exit(inspection._pool.running)
        assert os.waitpid(forked, 0)[1] == 0
        os.kill(children(server_pid())[0], signal.SIGUSR1)
        assert result.result() == SAMPLES["dummy.pdf"]


def test_the_parents_server_is_forgotten() -> None:
    """What a forked process does, in this one."""
    pool = inspection.InspectionPool()
    pool.leave_to_parent()
    server = pool._running_server()
    pool.leave_to_parent()
    assert pool.server is None
    assert server.process.returncode == 0
    wait_until(lambda: not is_running(server.process.pid))  # its socket is closed
    os.waitpid(server.process.pid, 0)


def test_an_image_that_would_be_stored_too_large(behave: Callable[[str], None]) -> None:
    behave("is_too_large")
    with pytest.raises(AttachmentTooLarge):
        validate("photo.png")


def test_in_the_worker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OSSN_MESSAGING = {"INSPECTION_PROCESSES": 0}
    inspection._pool.close()
    assert validate() == SAMPLES["dummy.pdf"]
    assert validate("photo.png").startswith(b"\x89PNG")
    with pytest.raises(AttachmentRefused), validate_upload(ContentFile(SAMPLES["photo.png"], "a.pdf")):
        pass
    assert inspection._pool.server is None
