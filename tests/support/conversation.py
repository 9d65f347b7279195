"""What people have written to each other on a site.

``python -m tests.support.conversation`` puts it into the demo of DATA_DIR, and prints the ids of these
people, in JSON. There is a clerk too, who may know of messages but not read them.
"""

import io
import json
import os
import sys
from datetime import UTC, datetime, timedelta

import django
from django.core.files.base import ContentFile
from PIL import Image, ImageDraw, ImageFilter

from tests.support.files import PDF

NAMES = ("anna", "ben", "carla", "david")
LONG = 56
"""How many messages carla and david have written: more than a page of the admin shows."""


def lake(size: tuple[int, int] = (960, 600)) -> bytes:
    """Return a JPEG of a lake below mountains, in the evening."""
    width, height = size
    shore = height * 2 // 3
    sky = Image.linear_gradient("L").resize((width, shore))
    evening = Image.composite(Image.new("RGB", sky.size, "#ffc07a"), Image.new("RGB", sky.size, "#3a5a94"), sky)
    draw = ImageDraw.Draw(evening)
    draw.ellipse((width * 0.62, shore * 0.3, width * 0.71, shore * 0.3 + width * 0.09), fill="#fff1cf")
    for colour, peaks in (
        ("#9a86ae", (0.75, 0.48, 0.7, 0.38, 0.68, 0.55, 0.8)),
        ("#5d6594", (0.7, 0.85, 0.66, 0.88, 0.76, 0.93, 0.72)),
        ("#35406b", (0.93, 0.86, 0.96, 0.9, 0.97, 0.88, 0.95)),
    ):
        ridge = [(number * width / (len(peaks) - 1), shore * peak) for number, peak in enumerate(peaks)]
        draw.polygon([(0, shore), *ridge, (width, shore)], fill=colour)
    water = evening.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, 0, width, height - shore))
    water = Image.blend(water.filter(ImageFilter.GaussianBlur(4)), Image.new("RGB", water.size, "#2c3b66"), 0.35)
    picture = Image.new("RGB", size)
    picture.paste(evening, (0, 0))
    picture.paste(water, (0, shore))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return file.getvalue()


def write() -> dict[str, int]:
    """Write it all, and return the id of each of them."""
    from django.contrib.auth.models import Permission, User

    from ossn_messaging.models import APIKey, Conversation, Message

    people = {name: User.objects.create_user(name, first_name=name.title()) for name in NAMES}
    clerk = User.objects.create_user("clerk", password="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="view_message"))
    api_key, _key = APIKey.objects.create_key("the phone app")
    moment = datetime(2026, 5, 4, 17, 12, tzinfo=UTC)

    def send(sender: str, recipient: str, text: str, name: str = "", content: bytes = b"") -> None:
        nonlocal moment
        moment += timedelta(minutes=7)
        upload = ContentFile(content, name) if name else None
        message = Message.objects.send(
            sender=people[sender], recipient=people[recipient], text=text, upload=upload, api_key=api_key
        )
        Message.objects.filter(pk=message.pk).update(created_at=moment)

    for number in range(1, LONG + 1):
        sender, recipient = ("carla", "david") if number % 3 else ("david", "carla")
        send(sender, recipient, f"Day {number} of the walk: another {7 + number * 5 % 13} km, and no rain.")
    moment += timedelta(days=3)
    send("ben", "anna", "Hello Anna! Did you get home before the storm?")
    send("anna", "ben", "Just in time. It was beautiful at the lake, though: look!", "lake.jpg", lake())
    send("ben", "anna", "What a light. I would have stayed until the end, with or without a storm.")
    send("anna", "ben", "Next time you come along.\nI have looked up trains for Saturday:", "timetable.pdf", PDF)
    send("ben", "anna", "The one at 8:05 sounds good. I bring the tent.")
    send("anna", "ben", "Perfect. And I bring coffee.")
    send("carla", "anna", "Is there still room for one more on Saturday?")
    for reader, other in (("anna", "ben"), ("ben", "anna"), ("david", "carla")):
        Conversation.objects.between(people[reader], people[other]).mark_read()
    Message.objects.filter(text="Perfect. And I bring coffee.").delete_for(people["ben"])
    return {name: user.pk for name, user in people.items()}


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings"
    django.setup()
    sys.stdout.write(json.dumps(write()))
