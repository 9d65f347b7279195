"""The admin of blocks: who sees, adds and deletes them."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from zeal import zeal_ignore

from ossn_messaging.models import Block
from tests.support.api import API, page, staff


@pytest.fixture
def block(sender: User, recipient: User) -> Block:
    block: Block = Block.objects.create(user=sender, blocked_user=recipient)
    return block


def add(client: Client, user: object, blocked_user: object) -> tuple[int, str]:
    with zeal_ignore():  # the form gets the session's user and both of its own, one by one
        response = client.post("/admin/ossn_messaging/block/add/", {"user": user, "blocked_user": blocked_user})
    return response.status_code, response.content.decode()


def test_staff_add_and_delete_a_block(api: API, moderator: Client) -> None:
    assert add(moderator, api.recipient.pk, api.sender.pk)[0] == 302
    block = Block.objects.get()
    assert (block.user, block.blocked_user) == (api.recipient, api.sender)
    api.fails("200")
    shown = page(moderator, "block/")
    assert "arsalanshah" in shown
    assert "testuser" in shown
    assert moderator.post(f"/admin/ossn_messaging/block/{block.pk}/delete/", {"post": "yes"}).status_code == 302
    api.ok()
    Block.objects.block(api.recipient, api.sender)
    chosen = {"action": "delete_selected", "_selected_action": [Block.objects.get().pk], "post": "yes"}
    moderator.post("/admin/ossn_messaging/block/", chosen)
    api.ok()


def test_what_cannot_be_added(block: Block, moderator: Client, sender: User, recipient: User) -> None:
    for user, blocked_user, reason in (
        (sender.pk, sender.pk, "Nobody can block themselves."),
        (sender.pk, recipient.pk, "already exists"),
        (sender.pk, "", "This field is required."),
        ("abc", recipient.pk, "Select a valid choice"),
        (f"{2**64}", recipient.pk, "Select a valid choice"),
        (999_999, recipient.pk, "Select a valid choice"),
    ):
        status, text = add(moderator, user, blocked_user)
        assert status == 200
        assert reason in text
    assert Block.objects.get() == block


def test_a_block_cannot_be_changed(block: Block, moderator: Client, stranger: User) -> None:
    url = f"/admin/ossn_messaging/block/{block.pk}/change/"
    assert "Save" not in page(moderator, f"block/{block.pk}/change/")
    assert moderator.post(url, {"user": stranger.pk, "blocked_user": block.user.pk}).status_code == 403
    block.refresh_from_db()
    assert block.user != stranger


def test_users_are_chosen_from_a_search(moderator: Client, sender: User) -> None:
    shown = page(moderator, "block/add/", user=sender.pk)
    assert shown.count('class="admin-autocomplete"') == 2
    assert "arsalanshah" in shown


def test_users_are_chosen_by_number_on_a_site_without_their_search(
    moderator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.contrib.auth.admin.UserAdmin.search_fields", ())
    shown = page(moderator, "block/add/")
    assert "admin-autocomplete" not in shown
    assert shown.count("vForeignKeyRawIdAdminField") == 2


@pytest.mark.parametrize(
    ("permissions", "sees", "adds", "deletes"),
    [
        ((), False, False, False),
        (("view_block",), True, False, False),
        (("view_block", "add_block"), True, False, False),
        (("view_block", "add_block", "view_user"), True, True, False),
        (("view_block", "delete_block"), True, False, True),
        (("delete_user",), False, False, True),
        (("view_message", "read_message", "moderate_message", "view_user"), False, False, False),
    ],
)
def test_what_the_permissions_allow(
    block: Block, sender: User, recipient: User, permissions: tuple[str, ...], sees: bool, adds: bool, deletes: bool
) -> None:
    clerk = staff("clerk", *permissions)
    for path in ("", f"{block.pk}/change/", f"{block.pk}/history/"):
        assert clerk.get(f"/admin/ossn_messaging/block/{path}").status_code == (200 if sees else 403)
    assert add(clerk, recipient.pk, sender.pk)[0] == (302 if adds else 403)
    status = clerk.post(f"/admin/ossn_messaging/block/{block.pk}/delete/", {"post": "yes"}).status_code
    assert status == (302 if deletes else 403)
    assert Block.objects.filter(pk=block.pk).exists() != deletes


def test_who_may_delete_users_needs_no_permission_for_their_blocks(block: Block, sender: User) -> None:
    clerk = staff("clerk", "view_user", "delete_user")
    with zeal_ignore():  # the admin gets the session's user, and then the user whose page it is
        clerk.post(f"/admin/auth/user/{sender.pk}/delete/", {"post": "yes"})
    assert not Block.objects.exists()


def test_a_search_finds_the_blocks_of_a_user_by_their_whole_name(
    block: Block, moderator: Client, recipient: User, stranger: User
) -> None:
    Block.objects.block(recipient, stranger)
    for text, count in (("testuser", 2), ("stranger", 1), ("arsalanshah", 1), ("arsalan", 0), ("", 2)):
        assert page(moderator, "block/", q=text).count('class="field-blocked_user') == count


def test_the_list_costs_the_same_however_many_there_are(moderator: Client, sender: User, recipient: User) -> None:
    costs = []
    for number in range(3):
        Block.objects.block(sender, User.objects.create_user(f"user {number}"))
        with CaptureQueriesContext(connection) as context:
            page(moderator, "block/")
        costs.append(len(context))
    assert len(set(costs)) == 1
