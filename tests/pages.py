"""The pages of this project as data: which there are, what they show, where they point. Judges nothing."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDERS = ("functions", "shared", "tests", "events")
BLOCK = re.compile(r"^ *```(\S*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# What a command begins with where it is shown in a sentence or a table.
PROGRAMS = (".venv/bin/", "aws ", "belay ", "make ", "sam ")


class Page(NamedTuple):
    path: str
    text: str

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return BLOCK.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        """What stands between single backticks."""
        return [" ".join(span.split()) for span in SPAN.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """Where a link may point within the page; a heading that comes again gets a number."""
        seen: dict[str, int] = {}
        found = set()
        for heading in HEADING.findall(self.prose):
            anchor = re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).replace(" ", "-")
            number = seen[anchor] = seen.get(anchor, -1) + 1
            found.add(f"{anchor}-{number}" if number else anchor)
        return found

    @property
    def links(self) -> list[str]:
        return LINK.findall(SPAN.sub(lambda span: span[0].replace("(", ""), self.prose))

    def blocks(self, language: str) -> list[str]:
        return [body for found, body in BLOCK.findall(self.text) if found == language]

    def languages(self) -> set[str]:
        return {found for found, _ in BLOCK.findall(self.text)}

    def section(self, title: str) -> "Page":
        """A chapter, from its title to the next of its rank or a higher one."""
        rank = len(title) - len(title.lstrip("#"))
        assert f"\n{title}\n" in self.text, f"{self.path} has no chapter {title}"
        after = self.text.split(f"\n{title}\n")[1]
        return Page(self.path, re.split(rf"^#{{1,{rank}}} ", after, flags=re.MULTILINE)[0])

    def shown(self) -> Iterator[str]:
        """The commands of its blocks, one by one, without comments and without where their output goes."""
        for body in self.blocks("sh"):
            for line in body.replace("\\\n", " ").splitlines():
                if command := re.sub(r"(^| )#.*", "", line).split(" > ")[0].strip():
                    yield " ".join(command.split())

    def mentioned(self) -> Iterator[str]:
        """The commands in its sentences and tables."""
        return (span for span in self.spans if span.startswith(PROGRAMS))


@cache
def pages() -> tuple[Page, ...]:
    found = [*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.md"))]
    return tuple(Page(str(file.relative_to(ROOT)), file.read_text()) for file in sorted(found))


def page(path: str) -> Page:
    (found,) = [page for page in pages() if page.path == path]
    return found
