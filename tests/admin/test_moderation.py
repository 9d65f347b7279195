"""Taking away what users wrote: who may, what goes, and what is kept of it."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from ossn_messaging.models import Attachment, Message
from tests.support.api import API, fetch, page, staff, upload
from tests.support.storage import files_in

LIST = "/admin/ossn_messaging/message/"


@pytest.fixture
def sent(api: API) -> list[dict[str, Any]]:
    """What the sender was told of three messages."""
    return [api.ok(message=f"text {number}", attachment=upload("dummy.pdf")) for number in range(3)]


def act(client: Client, action: str, *sent: dict[str, Any], **data: Any) -> str:
    chosen = [payload["id"] for payload in sent]
    response = client.post(LIST, {"action": action, "_selected_action": chosen, **data}, follow=True)
    return str(response.content.decode())


def texts() -> list[str]:
    return list(Message.objects.order_by("pk").values_list("text", flat=True))


def test_messages_are_deleted_for_both_after_a_look_at_them(
    sent: list[dict[str, Any]], moderator: Client, attachments_folder: Path
) -> None:
    asked = act(moderator, "delete_for_both", *sent[:2])
    assert "text 0" in asked
    assert "text 1" in asked
    assert "text 2" not in asked
    assert asked.count("dummy.pdf</bdi></a>") == 2
    assert texts() == ["text 0", "text 1", "text 2"]
    done = act(moderator, "delete_for_both", *sent[:2], confirmed="Yes")
    assert "It is deleted." in done
    assert texts() == ["", "", "text 2"]
    assert len(files_in(attachments_folder)) == 1
    assert [message.is_deleted for message in Message.objects.order_by("pk")] == [True, True, False]


def test_the_attachment_alone_is_deleted(
    api: API, sent: list[dict[str, Any]], moderator: Client, attachments_folder: Path
) -> None:
    assert "The text stays." in act(moderator, "delete_attachments", sent[0])
    assert Attachment.objects.count() == 3
    act(moderator, "delete_attachments", sent[0], confirmed="Yes")
    assert texts() == ["text 0", "text 1", "text 2"]
    assert Attachment.objects.count() == len(files_in(attachments_folder)) == 2
    assert fetch(Client(), sent[0]["attachment_url"])[0].status_code == 404
    assert not Message.objects.order_by("pk")[0].is_deleted


def test_a_send_that_is_repeated_tells_nothing_of_the_attachment_that_is_gone(api: API) -> None:
    first = api.ok(attachment=upload("dummy.pdf"), idempotency_key="once")
    assert Message.objects.all().delete_attachments() == 1
    assert Message.objects.all().delete_attachments() == 0
    again = api.ok(attachment=upload("dummy.pdf"), idempotency_key="once")
    assert again["id"] == first["id"]
    assert again["message"] == first["message"]
    assert not [name for name in again if "attachment" in name]


def test_what_was_done_is_logged_without_the_text(sent: list[dict[str, Any]], moderator: Client) -> None:
    act(moderator, "delete_attachments", *sent[:2], confirmed="Yes")
    act(moderator, "delete_for_both", *sent[1:], confirmed="Yes")
    logged = LogEntry.objects.order_by("pk").values_list("object_id", "object_repr", "change_message")
    assert sorted(logged) == sorted(
        (str(payload["id"]), f"message {payload['id']}", text)
        for payload, text in (
            (sent[0], "Attachment deleted."),
            (sent[1], "Attachment deleted."),
            (sent[1], "Deleted for both users."),
            (sent[2], "Deleted for both users."),
        )
    )


def test_what_is_gone_is_not_deleted_again(sent: list[dict[str, Any]], moderator: Client) -> None:
    act(moderator, "delete_for_both", sent[0], confirmed="Yes")
    at = Message.objects.get(pk=sent[0]["id"]).deleted_at
    for action in ("delete_for_both", "delete_attachments"):
        assert "There is nothing left to delete." in act(moderator, action, sent[0], confirmed="Yes")
    assert Message.objects.get(pk=sent[0]["id"]).deleted_at == at
    assert LogEntry.objects.count() == 1


def test_no_more_is_deleted_than_was_ticked(sent: list[dict[str, Any]], moderator: Client) -> None:
    act(moderator, "delete_for_both", sent[0], confirmed="Yes", select_across="1")
    assert texts() == ["", "text 1", "text 2"]


def test_the_page_of_a_message_has_buttons_for_what_there_is_to_delete(
    sent: list[dict[str, Any]], moderator: Client
) -> None:
    path = f"message/{sent[0]['id']}/change/"
    for action in ("delete_attachments", "delete_for_both"):
        text = page(moderator, path)
        assert f'formaction="{LIST}" name="action" value="{action}"' in text
        act(moderator, action, sent[0], confirmed="Yes")
    text = page(moderator, path)
    assert "formaction" not in text
    assert "for both users" in text


@pytest.mark.parametrize("permission", ["read_message", "view_user"])
def test_nobody_else_moderates(sent: list[dict[str, Any]], permission: str) -> None:
    clerk = staff("clerk", "view_message", permission)
    assert "_selected_action" not in page(clerk, "message/")
    assert "formaction" not in page(clerk, f"message/{sent[0]['id']}/change/")
    act(clerk, "delete_for_both", sent[0], confirmed="Yes")
    assert texts()[0] == "text 0"


def test_who_may_moderate_but_not_view_gets_no_page(sent: list[dict[str, Any]]) -> None:
    act(staff("clerk", "moderate_message"), "delete_for_both", sent[0], confirmed="Yes")
    assert texts()[0] == "text 0"


def test_both_sides_still_see_that_there_was_a_message(
    api: API, sent: list[dict[str, Any]], moderator: Client, stranger: User
) -> None:
    act(moderator, "delete_for_both", sent[0], confirmed="Yes")
    message = Message.objects.get(pk=sent[0]["id"])
    assert message.is_visible_to(api.sender)
    assert message.is_visible_to(api.recipient)
    assert not message.is_visible_to(stranger)
