"""Reading a report page back: its tags, its words, its sections."""

from html.parser import HTMLParser

EVIL = "<script>alert(1)</script>\"'&"


class Outline(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.stack, self.problems, self.text = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.stack and self.stack[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split()).replace("\u00a0", " ")


def walk(sections):
    for section in sections:
        yield section
        yield from walk(section.parts)


def part(page, title):
    return next(s for s in walk(page.sections) if title in s.title)
