"""The list of messages in the admin, and the page of each: what is found, what is shown, and to whom."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from zeal import zeal_ignore

from ossn_messaging.admin.messages import MessageAdmin
from ossn_messaging.models import APIKey, Attachment, Conversation, Message
from tests.support.api import API, page, staff, upload

LIST = "message/"
WITHHELD = ("the secret", "photo.png", "attachment/")


def send(sender: User, recipient: User, text: str = "Test", **kwargs: Any) -> Message:
    message: Message = Message.objects.send(sender=sender, recipient=recipient, text=text, **kwargs)
    return message


def listed(client: Client, query: str = "") -> list[int]:
    """Return the ids on a page of the list, in its order."""
    return ids_in(page(client, f"{LIST}?{query}"))


def ids_in(text: str) -> list[int]:
    return [int(found) for found in re.findall(r'field-id"><a href="/admin/ossn_messaging/message/(\d+)/', text)]


def link(text: str, label: str) -> str:
    """Return the query of a link, empty where there is no such link."""
    found = re.search(rf'<a href="\?([^"]*)"[^>]*>{label}</a>', text)
    return found[1].replace("&amp;", "&") if found else ""


def pages(client: Client, query: str, label: str) -> list[list[int]]:
    """Return the ids of this page and of all that its links of this name lead to."""
    text = page(client, f"{LIST}?{query}")
    found = [ids_in(text)]
    while following := link(text, label):
        text = page(client, f"{LIST}?{following}")
        found.append(ids_in(text))
    return found


def all_listed(client: Client, query: str) -> list[int]:
    return [number for ids in pages(client, query, "Older") for number in ids]


@pytest.fixture
def sent(api: API) -> list[int]:
    """The ids of seven messages, newest first."""
    return [send(api.sender, api.recipient, f"number {number}").pk for number in range(7)][::-1]


@pytest.fixture
def pages_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessageAdmin, "list_per_page", 3)


def test_a_message_is_listed_with_all_about_it(api: API, moderator: Client) -> None:
    api.ok(message="x" * 200, attachment=upload("photo.png"))
    send(api.recipient, api.sender, "an answer", upload=upload("dummy.pdf"))
    Conversation.objects.between(api.recipient, api.sender).mark_read()
    newest, oldest = page(moderator, LIST).split("<tr>")[-2:]
    people = f"<bdi>{api.sender}</bdi> to <bdi>{api.recipient}</bdi></a>"
    for shown in (people, "x" * 70, 'alt="photo.png"', "<div>read</div>"):
        assert shown in oldest
    assert "x" * 100 not in oldest, "only the start of a text is listed"
    for shown in ("an answer", "dummy.pdf</bdi></a>", "<div>not read</div>", 'alt=""'):
        assert shown in newest


def test_a_large_picture_is_shown_on_the_page_of_its_message_alone(
    api: API, moderator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = api.ok(attachment=upload("photo.png"))["id"]
    monkeypatch.setattr("ossn_messaging.admin.messages.SMALL", Attachment.objects.get().size - 1)
    assert "photo.png</bdi></a>" in page(moderator, LIST)
    assert 'alt="photo.png"' in page(moderator, f"message/{number}/change/")


def test_each_page_of_the_list_costs_the_same(
    sent: list[int], moderator: Client, pages_of_three: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    clerk = staff("clerk", "view_message", "read_message", "view_apikey", "view_user")
    for query in (
        *("", f"before={sent[3]}", f"after={sent[3]}", "q=arsalanshah", "q=arsalan", "q=nobody", f"q={sent[0]}"),
        *(f"{name}" for name in ("attachment=yes", "attachment=no", "state=one", "state=unviewed", "sent=today")),
        f"sent={timezone.localdate():%Y-%m-%d}",
        f"key={APIKey.objects.get().pk}",
    ):
        with django_assert_max_num_queries(12):
            page(clerk, f"{LIST}?{query}")
    with django_assert_max_num_queries(12):
        page(clerk, f"message/{sent[0]}/change/")


def test_the_list_is_paged_by_ids(sent: list[int], moderator: Client, pages_of_three: None) -> None:
    assert pages(moderator, "", "Older") == [sent[:3], sent[3:6], sent[6:]]
    assert pages(moderator, f"before={sent[5]}", "Newer") == [sent[6:], sent[3:6], sent[:3]]
    assert listed(moderator, f"after={sent[6]}") == sent[3:6]
    assert link(page(moderator, f"{LIST}?after={sent[6]}"), "Older") == f"before={sent[6] + 1}"
    for nonsense in ("before=x", "before=", "after=%F0", f"before={'9' * 30}", f"after={'9' * 5000}"):
        assert listed(moderator, nonsense) == sent[:3]


def test_a_page_keeps_its_filters_and_a_filter_begins_at_the_first_page(
    sent: list[int], moderator: Client, pages_of_three: None
) -> None:
    text = page(moderator, f"{LIST}?attachment=no&before={sent[2]}")
    assert link(text, "Older") == f"attachment=no&before={sent[5]}"
    assert link(text, "Read") == "attachment=no&state=viewed"
    assert link(text, "✖ Clear all filters") == link(text, "&#10006; Clear all filters")
    assert 'type="hidden" name="before"' not in text


def test_messages_are_found_by_the_name_of_a_user(
    api: API, sent: list[int], moderator: Client, stranger: User, pages_of_three: None
) -> None:
    received = send(stranger, api.sender).pk
    send(stranger, api.recipient)
    assert pages(moderator, "q=arsalanshah", "Older") == [[received, *sent[:2]], sent[2:5], sent[5:]]
    assert listed(moderator, "q=arsalan")[0] == received, "one user's name begins so"
    assert listed(moderator, f"q=arsalanshah&before={sent[4]}") == sent[5:]


def test_several_users_whose_names_begin_so_are_offered(api: API, moderator: Client) -> None:
    namesake = User.objects.create_user("arsalan & co")
    own = send(namesake, api.recipient).pk
    text = page(moderator, LIST, q="arsalan")
    assert ids_in(text) == []
    assert "/admin/ossn_messaging/message/?q=arsalanshah" in text or 'href="?q=arsalanshah"' in text
    assert listed(moderator, link(text, "arsalan &amp; co")) == [own]
    assert "There is no such user." in page(moderator, LIST, q="nobody")


def test_a_message_is_found_by_its_id(api: API, sent: list[int], moderator: Client) -> None:
    assert listed(moderator, f"q={sent[3]}") == [sent[3]]
    numbered = User.objects.create_user(f"{sent[3]}")
    own = send(numbered, api.sender).pk
    assert listed(moderator, f"q={sent[3]}") == [own, sent[3]]
    assert listed(moderator, "q=number") == [], "texts are not searched"
    assert listed(moderator, f"q={'9' * 30}") == []


def test_messages_are_found_by_their_attachment(
    api: API, sent: list[int], moderator: Client, pages_of_three: None
) -> None:
    having = [send(api.sender, api.recipient, upload=upload("dummy.pdf")).pk for _ in range(4)][::-1]
    assert pages(moderator, "attachment=yes", "Older") == [having[:3], having[3:]]
    assert pages(moderator, f"attachment=yes&before={having[-1]}", "Newer") == [[], having[1:], having[:1]]
    assert all_listed(moderator, "attachment=no") == sent


def test_messages_are_found_by_what_became_of_them(
    api: API, sent: list[int], moderator: Client, pages_of_three: None
) -> None:
    rows = Message.objects.all()
    rows.filter(pk=sent[6]).delete_for(api.sender)
    rows.filter(pk=sent[5]).delete_for(api.recipient)
    rows.filter(pk=sent[4]).delete_for_both()
    Conversation.objects.between(api.recipient, api.sender).mark_read()
    unviewed = send(api.sender, api.recipient).pk
    assert listed(moderator, "state=one") == sent[5:]
    assert listed(moderator, "state=both") == [sent[4]]
    assert listed(moderator, "state=unviewed") == [unviewed]
    assert all_listed(moderator, "state=viewed") == sent
    text = page(moderator, f"{LIST}?q=arsalanshah&state=one")
    assert "by its sender" in text
    assert "by its recipient" in text
    assert "for both users" in page(moderator, f"{LIST}?state=both")


def test_messages_are_found_by_their_key(api: API, sent: list[int], moderator: Client) -> None:
    by_key = api.ok()["id"]
    assert listed(moderator, f"key={APIKey.objects.get().pk}") == [by_key]


def test_filters_go_together(api: API, moderator: Client) -> None:
    api.ok(attachment=upload("dummy.pdf"))
    wanted = api.ok(attachment=upload("dummy.pdf"))["id"]
    Message.objects.filter(pk=wanted).delete_for(api.sender)
    query = f"q=testuser&attachment=yes&state=one&sent=today&key={APIKey.objects.get().pk}"
    assert listed(moderator, query) == [wanted]
    assert listed(moderator, query.replace("q=testuser&", "")) == [wanted]
    assert listed(moderator, query.replace("state=one", "state=both")) == []


def test_where_no_index_helps_a_page_ends_when_enough_was_looked_at(
    sent: list[int], moderator: Client, monkeypatch: pytest.MonkeyPatch, pages_of_three: None
) -> None:
    monkeypatch.setattr("ossn_messaging.admin.lists.SCAN_LIMIT", 2)
    assert pages(moderator, "state=viewed", "Older") == [[], [], [], []]
    assert pages(moderator, "state=unviewed", "Older") == [sent[:2], sent[2:4], sent[4:6], sent[6:]]
    assert "Not all messages have been searched yet." in page(moderator, f"{LIST}?state=viewed")
    assert "Not all messages have been searched yet." not in page(moderator, f"{LIST}?state=viewed&before={sent[5]}")
    assert pages(moderator, f"state=unviewed&after={sent[6]}", "Newer") == [sent[4:6], sent[2:4], sent[:2]]


def test_messages_are_found_by_the_time_at_which_they_were_sent(
    api: API, sent: list[int], moderator: Client, pages_of_three: None
) -> None:
    now = timezone.now()
    times = [now, now - timedelta(days=3), *(datetime(2024, 2, day, 12, tzinfo=UTC) for day in (29, 29, 28, 1))]
    for number, time in zip(sent, [*times, datetime(2023, 12, 31, 12, tzinfo=UTC)], strict=True):
        Message.objects.filter(pk=number).update(created_at=time)
    for query, wanted in (
        ("today", sent[:1]),
        ("week", sent[:2]),
        ("2023", sent[6:]),
        ("2023-12", sent[6:]),
        ("2024", sent[2:6]),
        ("2024-01", []),
        ("2024-02", sent[2:6]),
        ("2024-02-29", sent[2:4]),
        ("2024-02-28", sent[4:5]),
    ):
        assert all_listed(moderator, f"sent={query}") == wanted, query
        assert all_listed(moderator, f"sent={query}&q=testuser") == wanted, query
    years = page(moderator, LIST)
    assert "sent=2023" in years
    assert "sent=2022" not in years
    text = page(moderator, f"{LIST}?sent=2024-02-29")
    for label in ("2023", "January 2024", "February 29"):
        assert link(text, label)
    assert "January 2023" not in text


def test_an_empty_list(moderator: Client, settings: Settings) -> None:
    for settings.USE_TZ in (True, False):
        for query in ("", "sent=today", "q=x", "attachment=yes", "state=unviewed"):
            assert listed(moderator, query) == []


@pytest.mark.parametrize("query", ["sent=2000", "sent=x", "state=x", "attachment=x", "key=x"])
def test_a_filter_that_is_none_leads_back_to_the_list(moderator: Client, query: str) -> None:
    response = moderator.get(f"/admin/ossn_messaging/message/?{query}")
    assert response["Location"] == "/admin/ossn_messaging/message/?e=1"


def test_a_text_can_be_guessed_by_no_lookup(api: API) -> None:
    """Django takes lookups on any field of the model from the URL."""
    api.ok(message="the secret")
    clerk = staff("clerk", "view_message")
    for lookup in ("text__startswith", "sender__password__startswith", "api_key__digest__startswith", "key", "id"):
        for value in ("the", "x"):
            assert clerk.get(f"/admin/ossn_messaging/message/?{lookup}={value}").status_code == 400, lookup
    for query in ("o=4", "_facets=True"):
        assert len(listed(clerk, query)) == 1


def test_staff_who_may_not_view_keys_see_a_number_and_no_name(api: API) -> None:
    number = api.ok()["id"]
    api_key = APIKey.objects.get()
    for permission, is_named in (("read_message", False), ("view_apikey", True), ("change_apikey", True)):
        clerk = staff(permission, "view_message", permission)
        for path in (LIST, f"message/{number}/change/"):
            assert (api_key.name in page(clerk, path)) == is_named
        assert f'readonly">{api_key.pk}<' in page(clerk, f"message/{number}/change/") or is_named
        assert (f"?key={api_key.pk}" in page(clerk, LIST)) == is_named
        response = clerk.get("/admin/ossn_messaging/message/", {"key": api_key.pk})
        assert response.status_code == (200 if is_named else 400)


def test_staff_who_may_not_view_users_find_them_by_their_whole_names(api: API, sent: list[int]) -> None:
    User.objects.create_user("arsalan")
    User.objects.create_user("arsalanshah2")
    for permission, is_named in (("read_message", False), ("view_user", True)):
        clerk = staff(permission, "view_message", permission)
        assert ("arsalanshah2" in page(clerk, LIST, q="arsalans")) == is_named
        assert bool(listed(clerk, "q=testus")) == is_named
        assert ("its beginning" in page(clerk, LIST)) == is_named
        assert listed(clerk, "q=testuser") == sent
        assert listed(clerk, f"q={sent[3]}") == [sent[3]]


def test_a_form_completes_a_message_by_its_id(sent: list[int], moderator: Client) -> None:
    source = {"app_label": "ossn_messaging", "model_name": "attachment", "field_name": "message"}
    for term, found in ((f"{sent[2]}", [f"{sent[2]}"]), ("number", []), ("", [])):
        answer = moderator.get("/admin/autocomplete/", source | {"term": term}).json()
        assert [result["id"] for result in answer["results"]] == found


def test_who_may_not_read_sees_that_there_is_a_message_and_no_more(api: API, moderator: Client) -> None:
    payload = api.ok(message="the secret", attachment=upload("photo.png"))
    size = Attachment.objects.get().size
    clerk = staff("clerk", "view_message", "moderate_message")
    chosen = {"action": "delete_for_both", "_selected_action": [payload["id"]]}
    shown = [
        *(page(clerk, path) for path in (LIST, f"{LIST}?q=arsalanshah", f"message/{payload['id']}/change/")),
        page(clerk, f"message/conversation/{api.sender.pk}/{api.recipient.pk}/"),
        clerk.post("/admin/ossn_messaging/message/", chosen).content.decode(),
    ]
    for text in shown:
        assert "10 characters" in text
        assert f"{size} bytes" in text
        assert not [part for part in WITHHELD if part in text]
    clerk.post("/admin/ossn_messaging/message/", {**chosen, "confirmed": "yes"})
    assert "Deleted for both users." in page(clerk, f"message/{payload['id']}/history/")


def test_who_deletes_a_user_is_not_shown_what_they_sent(api: API) -> None:
    api.ok(message="the secret", attachment=upload("photo.png"))
    clerk = staff("clerk", "view_user", "delete_user")
    with zeal_ignore():  # the admin gets the session's user, and then the user whose page it is
        text = clerk.get(f"/admin/auth/user/{api.sender.pk}/delete/").content.decode()
    assert "Are you sure" in text
    assert not [part for part in WITHHELD if part in text]


def test_who_may_read_sees_all_on_the_page_of_a_message(api: API) -> None:
    payload = api.ok(message="the <b>secret</b>\nis long" + "." * 100, attachment=upload("photo.png"))
    Conversation.objects.between(api.recipient, api.sender).mark_read()
    text = page(staff("clerk", "view_message", "read_message", "view_apikey"), f"message/{payload['id']}/change/")
    assert "the &lt;b&gt;secret&lt;/b&gt;<br>is long" + "." * 100 in text
    assert 'alt="photo.png"' in text
    assert 'alt="True"' in text
    assert "the tests" in text
    assert "_selected_action" not in text, "who may not moderate has no buttons"
    assert payload["file:attachment"] not in text


def test_the_file_opens_for_who_may_read(api: API) -> None:
    url = api.ok(attachment=upload("dummy.pdf"))["attachment_url"].partition("?")[0]
    for permissions, status in ((["view_message"], 404), (["read_message"], 200)):
        response = staff(permissions[0], *permissions).get(url)
        assert response.status_code == status
        response.close()


def test_what_a_user_wrote_is_neither_edited_nor_deleted_for_good(api: API, moderator: Client) -> None:
    api.ok(attachment=upload("dummy.pdf"))
    number = Message.objects.get().pk
    path = "/admin/ossn_messaging/message/"
    assert moderator.get(f"{path}add/").status_code == 403
    assert moderator.post(f"{path}{number}/change/", {"text": "forged"}).status_code == 403
    assert moderator.post(f"{path}{number}/delete/", {"post": "yes"}).status_code == 403
    moderator.post(path, {"action": "delete_selected", "_selected_action": [number], "post": "yes"})
    text = page(moderator, f"message/{number}/change/")
    assert "<textarea" not in text
    assert f"{number}/delete/" not in text
    assert Message.objects.get().text == "Test"


@pytest.mark.parametrize("view", ["change", "history", "delete"])
def test_who_may_not_view_is_not_told_which_messages_there_are(api: API, view: str) -> None:
    clerk = staff("clerk")
    for number in (api.ok()["id"], 999999999):
        assert clerk.get(f"/admin/ossn_messaging/message/{number}/{view}/").status_code == 403


def test_a_page_of_no_message_leads_back(moderator: Client) -> None:
    assert moderator.get("/admin/ossn_messaging/message/1/change/").status_code == 302
