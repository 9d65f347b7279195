"""DDE fields in a word-processing document."""

import re
from collections.abc import Mapping
from xml.parsers import expat

from ossn_messaging.attachments.rules import Reason, Rejected

DDE_FIELD = re.compile(r"\s*DDE(AUTO)?\b", re.IGNORECASE)

Attributes = Mapping[str, str]


def check_fields(part: bytes) -> None:
    """Raise ``Rejected`` if a part of a package is XML with a DDE field, which starts a program.

    A field's instruction may be spread over many elements (ECMA-376, part 1, 17.16).
    """
    if not part.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
        return
    parser, fields = expat.ParserCreate(), Fields()
    parser.StartElementHandler, parser.EndElementHandler = fields.start, fields.end
    parser.CharacterDataHandler = fields.text
    try:
        parser.Parse(part, True)
    # Word does not read this part: the main part was parsed before. For unknown encodings, pyexpat raises the others.
    except (expat.ExpatError, LookupError, ValueError, OSError):
        return


class Fields:
    """The handlers of a parser that find DDE fields."""

    def __init__(self) -> None:
        self.instructions = [""]
        """The instruction of each open field, the innermost last. The first is for text outside of all fields."""
        self.is_instruction = False

    def start(self, name: str, attributes: Attributes) -> None:
        element = _local(name)
        if element == "instrText":
            self.is_instruction = True
        elif element == "fldSimple":
            _check_instruction(_attribute(attributes, "instr"))
        elif element == "fldChar":
            self._mark(_attribute(attributes, "fldCharType"))

    def end(self, name: str) -> None:
        self.is_instruction = False

    def text(self, text: str) -> None:
        if self.is_instruction:
            self.instructions[-1] += text

    def _mark(self, kind: str) -> None:
        """Begin a field, or end the innermost one or its instruction."""
        instruction = self.instructions[-1]
        if kind != "begin":
            _check_instruction(instruction)
            if kind == "end" and len(self.instructions) > 1:
                self.instructions.pop()
            return
        # A field within a field may write the name of the outer one: { { QUOTE 68 68 69 } ... }.
        if len(self.instructions) > 1 and "DDEAUTO".startswith(instruction.lstrip().upper()):
            raise Rejected(Reason.ACTIVE_CONTENT, "field with a computed name")
        self.instructions.append("")


def _check_instruction(instruction: str) -> None:
    if DDE_FIELD.match(instruction):
        raise Rejected(Reason.ACTIVE_CONTENT, "DDE field")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _attribute(attributes: Attributes, name: str) -> str:
    return next((value for key, value in attributes.items() if _local(key) == name), "")
