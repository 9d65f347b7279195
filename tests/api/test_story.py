"""Three people with an app each, a live demo server between them, and plain HTTP."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.client import App, bare, fetch, texts
from tests.support.demo import demo, manage
from tests.support.files import PDF, SAMPLES
from tests.support.storage import files_in

pytestmark = pytest.mark.system

PNG = SAMPLES["photo.png"]


def key_of(username: str, data_dir: Path) -> str:
    """Have the site's owner make a key that acts as this user alone."""
    return manage(data_dir, "ossn_apikey", "create", username, "--user", username).stdout.strip()


def test_the_story_of_three_people(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as site:
        anna, ben, carl = (
            App(site.url, key_of(username, tmp_path), guid)
            for guid, username in enumerate(("arsalanshah", "testuser", "admin"), 1)
        )
        send_and_list(anna, ben, carl)
        page_back(anna, ben)
        read_and_reply(anna, ben, carl)
        fetch_and_be_refused(anna, ben, carl)
        delete_for_oneself(anna, ben, tmp_path)
        delete_for_both(anna, ben, carl, tmp_path)
        act_as_another(anna, ben, carl)


def send_and_list(anna: App, ben: App, carl: App) -> None:
    anna.send(ben, "Hello Ben & all")
    ben.send(anna, "Hello Anna", "dummy.pdf")
    anna.send(ben, "Look", "photo.png")
    carl.send(anna, "Carl here")
    assert texts(anna.page(ben)) == texts(ben.page(anna)) == ["Hello Ben &amp; all", "Hello Anna", "Look"]
    assert texts(anna.page(carl)) == ["Carl here"]
    assert carl.page(ben) == []
    assert anna.recent() == [("Carl here", 0), ("Look", 0)]
    assert ben.recent() == [("Look", 0)]
    assert (anna.unread(), ben.unread(), carl.unread()) == ((2, 2), (2, 1), (0, 0))
    files = [fetch(message["attachment_url"])[1] for message in ben.page(anna) if "attachment_url" in message]
    assert files == [PDF, PNG]


def page_back(anna: App, ben: App) -> None:
    for number in range(22):
        (anna if number % 2 else ben).send(ben if number % 2 else anna, str(number))
    everything = ["Hello Ben &amp; all", "Hello Anna", "Look", *map(str, range(22))]
    by_number = [texts(ben.page(anna, offset=page)) for page in (1, 2, 3, 4)]
    assert by_number == [everything[15:], everything[5:15], everything[:5], []]
    by_key, page = [], ben.page(anna)
    while page:
        by_key.append(texts(page))
        page = ben.page(anna, before=page[0]["id"])
    assert by_key == by_number[:3]


def read_and_reply(anna: App, ben: App, carl: App) -> None:
    assert ben.new(anna)[:2] == ["21", "19"]
    assert ben.unread() == (13, 1)
    assert {message["viewed"] for message in ben.page(anna, markallread=1)} == {"0"}
    assert (ben.new(anna), ben.unread()) == ([], (0, 0))
    assert {message["viewed"] for message in anna.page(ben) if message["message_from"] == anna.guid} == {"1"}
    assert anna.unread() == (13, 2), "what ben has sent is for anna to read"
    ben.send(anna, "I have read it")
    assert ben.recent()[0] == ("I have read it", 0)
    assert anna.recent()[0] == ("I have read it", 0)
    assert anna.new(carl) == ["Carl here"]
    anna.page(carl, markallread=1)
    assert anna.unread() == (13, 1)


def fetch_and_be_refused(anna: App, ben: App, carl: App) -> None:
    sent = anna.send(ben, "for ben alone", "dummy.pdf")
    assert fetch(sent["attachment_url"]) == (200, PDF)
    assert anna.fetch(bare(sent)) == ben.fetch(bare(sent)) == (200, PDF)
    assert carl.fetch(bare(sent))[0] == fetch(bare(sent))[0] == 404
    for guid in range(1, 20):
        assert carl.fetch(bare(sent).replace(f"/{sent['attachment_guid']}/", f"/{guid}/"))[0] == 404
    other = carl.send(anna, "mine", "dummy.pdf")
    transplanted = f"{bare(sent)}?{urlsplit(other['attachment_url']).query}"
    assert carl.fetch(transplanted)[0] == 404


def delete_for_oneself(anna: App, ben: App, data_dir: Path) -> None:
    sent = anna.send(ben, "not for me", "photo.png")
    (mine,) = anna.page(ben)[-1:]
    (theirs,) = ben.page(anna)[-1:]
    files = len(files_in(data_dir / "attachments"))
    assert anna.delete(sent, "me") == "100"
    assert "not for me" not in texts(anna.page(ben)) + [text for text, _answered in anna.recent()]
    assert texts(ben.page(anna))[-1] == ben.new(anna)[0] == "not for me"
    assert fetch(mine["attachment_url"])[0] == anna.fetch(bare(sent))[0] == 404
    assert fetch(theirs["attachment_url"]) == ben.fetch(bare(sent)) == (200, PNG)
    assert ben.delete(sent, "me") == "100"
    assert fetch(theirs["attachment_url"])[0] == ben.fetch(bare(sent))[0] == 404
    assert len(files_in(data_dir / "attachments")) == files - 1
    assert "not for me" not in texts(ben.page(anna)) + ben.new(anna)


def delete_for_both(anna: App, ben: App, carl: App, data_dir: Path) -> None:
    sent = anna.send(ben, "a mistake", "dummy.pdf")
    (theirs,) = ben.page(anna)[-1:]
    files = len(files_in(data_dir / "attachments"))
    for app in (ben, carl):
        assert app.delete(sent, "all") == "200", "it is not theirs"
    assert carl.delete(sent, "me") == "200"
    assert texts(ben.page(anna))[-1] == "a mistake"
    assert anna.delete(sent, "all") == "100"
    for app, other in ((anna, ben), (ben, anna)):
        (message,) = app.page(other)[-1:]
        assert (message["id"], message["message"], message["is_deleted"]) == (sent["id"], "", "1")
        assert "attachment_url" not in message
    assert fetch(theirs["attachment_url"])[0] == fetch(sent["attachment_url"])[0] == 404
    assert len(files_in(data_dir / "attachments")) == files - 1


def act_as_another(anna: App, ben: App, carl: App) -> None:
    """No key of one reads, deletes or sends as another."""
    message = ben.page(anna)[0]
    as_ben = App(carl.site, carl.key, ben.guid)
    for refused in (
        as_ben.ask("v2.0/message/list", guid=ben.guid, to=anna.guid),
        as_ben.ask("v2.0/message/new", to=ben.guid, from_=anna.guid),
        as_ben.ask("v1.0/message_recent", guid=ben.guid),
        as_ben.ask("v2.0/message/unread", guid=ben.guid),
        as_ben.ask("v1.0/message_delete", id=message["id"], guid=ben.guid),
        as_ben.ask("v1.0/message_add", from_=ben.guid, to=anna.guid, message="forged"),
    ):
        assert (refused["code"], refused["payload"]) == ("200", False)
    assert "forged" not in texts(anna.page(ben))
    assert ben.page(anna)[0] | {"attachment_url": ""} == message | {"attachment_url": ""}
