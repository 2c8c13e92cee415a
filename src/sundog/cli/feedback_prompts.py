"""Verdicts in the terminal: the facts of a finding as text, then questions; input may be piped."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from sundog.cli.say import count, say
from sundog.core.errors import RunFolderError
from sundog.core.inspection.events import VERDICTS, Event
from sundog.core.inspection.feedback import Answer
from sundog.core.inspection.finding import Evidence, Finding
from sundog.core.inspection.results import check_tags, display_name
from sundog.core.inspection.wording import whose
from sundog.review.facts import facts
from sundog.review.progress import review_progress
from sundog.review.sentences import claim, meaning, question, tag_check
from sundog.review.session import Session
from sundog.review.wording import percent, plain_text, printable

CHOICES = ", ".join(f"{at} {verdict}" for at, verdict in enumerate(VERDICTS, 1))
ACTS = "t wrong tags, s skip, b back, u undo, q quit"
STRIPS = {
    "present": "Random sample with the tag",
    "absent": "Random sample without it",
    "top": "Highest scores (not for checking tags: the easiest cases)",
    "bottom": "Lowest scores",
}


def judge_in_terminal(session: Session, *, reviewer: str, blind: bool, everything: bool) -> None:
    """Ask for a verdict on each finding; every answer is saved at once, and EOF ends it."""
    session.require_writable()
    name = (reviewer or _ask("Your name: ") or "")[:80].strip()
    if not name:
        raise RunFolderError("The reviewer's name", expected="given", got="none", hint="--reviewer")
    Terminal(session, name, blind=blind).judge(everything=everything)
    say(f"{review_progress(session).sentence()} saved in {session.folder / 'feedback'}.")


class Terminal:
    """One reviewer at a terminal."""

    def __init__(self, session: Session, reviewer: str, *, blind: bool) -> None:
        """Start with what was said before."""
        self._session = session
        self._reviewer = reviewer
        self._blind = blind

    def judge(self, *, everything: bool) -> None:
        """Go through the findings."""
        keys = [
            key for key in self._session.findings if everything or self._answer(key).verdict is None
        ]
        if not keys:
            say("Nothing left to judge; --all goes through them again.")
        at = 0
        while 0 <= at < len(keys):
            self._show(keys[at], place=f"{at + 1} of {len(keys)}")
            step = self._ask_verdict(keys[at])
            if step is None:
                return
            at = max(0, at + step)

    def _ask_verdict(self, key: str) -> int | None:
        """Return how far to go in the list; None ends the review."""
        while True:
            reply = _ask(f"Verdict [{CHOICES}; {ACTS}]: ")
            if reply is None or reply == "q":
                return None
            if reply in ("s", "b"):
                return 1 if reply == "s" else -1
            if reply == "t":
                self._ask_tags(key)
            elif reply == "u":
                self._undo()
            elif reply in tuple("12345"):
                hidden = self._hides(key)
                self._ask_rest(key, int(reply))
                if hidden:
                    self._say_facts(key)
                return 1
            else:
                say(f"Not understood: {printable(reply)!r}. Type 1 to 5, or t, s, b, u, q.")

    def _ask_rest(self, key: str, number: int) -> None:
        reply: str | None = "?"
        while reply not in (None, "", "1", "2", "3", "4", "5"):
            reply = _ask("Confidence, 1 guess to 5 certain [Enter: none]: ")
        note = _ask("Note [Enter: none]: ") or ""
        self._record(
            action="verdict",
            finding=key,
            verdict=VERDICTS[number - 1],
            confidence=int(reply) if reply else None,
            note=note[:4000],
            blind=self._hides(key),
        )

    def _ask_tags(self, key: str) -> None:
        shown = _samples(self._session.findings[key])
        if not shown:
            say("No random sample was kept for this finding.")
            return
        before = set(self._answer(key).wrong_images)
        while True:
            reply = _ask("Numbers of images whose tag is wrong, e.g. 2 5 [Enter: none]: ") or ""
            words = reply.replace(",", " ").split()
            if all(
                word.isascii() and word.isdigit() and 0 < int(word) <= len(shown) for word in words
            ):
                break
            say(f"Numbers from 1 to {len(shown)}, please.")
        wrong = {shown[int(word) - 1].image for word in words}
        for image in sorted(wrong - before):
            self._record(action="tag wrong", finding=key, image=image)
        for image in sorted(before - wrong):
            self._record(action="tag right", finding=key, image=image)
        if not self._answer(key).tags_checked:
            sure = _ask("Did you check all of them? [y/N]: ") or ""
            if sure.lower() in ("y", "yes"):
                self._record(action="tags checked", finding=key)
        self._say_tags(key)

    def _undo(self) -> None:
        events = self._session.log().events
        undone: set[str | None] = set()
        for event in reversed(events):
            if event.reviewer != self._reviewer or event.id in undone:
                continue
            if event.action == "undo":
                undone.add(event.undoes)
                continue
            self._record(action="undo", undoes=event.id)
            say(f"Undone: {event.action} {printable(event.verdict or '')}".rstrip() + ".")
            return
        say("Nothing to undo.")

    def _record(self, **fields: Any) -> None:
        event = Event(query=self._session.query_hash, reviewer=self._reviewer, **fields)
        done = self._session.add([event.model_dump(mode="json")])
        if done.refused:
            raise RunFolderError(
                "The answer", expected="saved", got="; ".join(done.refused.values())
            )

    def _answer(self, key: str) -> Answer:
        for answer in self._session.feedback(self._session.events_of(key)).answers:
            if answer.reviewer == self._reviewer and answer.finding == key:
                return answer
        return Answer(finding=key, reviewer=self._reviewer)

    def _hides(self, key: str) -> bool:
        return self._blind and self._answer(key).verdict is None

    def _show(self, key: str, *, place: str) -> None:
        finding = self._session.findings[key]
        hidden = self._hides(key)
        say("")
        names = " + ".join(printable(name) for name in self._names(finding))
        say(f"[{place}] {printable(whose(finding))}: {names}", bold=True)
        if hidden:
            say(plain_text(question(finding, self._names(finding))))
        else:
            self._say_facts(key)
        self._show_transplants(finding, hidden=hidden)
        number = 0
        for strip, title in STRIPS.items():
            evidence = [one for one in finding.evidence if one.strip == strip]
            if evidence:
                say(f"{title}:")
            for one in evidence:
                number += 1
                say(f"  {self._image_line(one, number, hidden=hidden)}")
        answer = self._answer(key)
        if answer.verdict is not None:
            say(f"Your verdict so far: {answer.verdict}.")
        self._say_tags(key)

    def _show_transplants(self, finding: Finding, *, hidden: bool) -> None:
        """List a cue's pictures; what is predicted stays hidden in blind mode."""
        cue = finding.cue
        if cue is None:
            return
        for number, shown in enumerate(cue.transplants, start=1):
            say(f"Moved, example {number}:")
            for what, file, words in zip(
                ("taken from", "put into", "what comes out"),
                (shown.donor, shown.target, shown.moved),
                shown.captions,
                strict=True,
            ):
                path = printable(str(self._session.folder / file))
                said = "" if hidden or not words else f"  {printable(words)}"
                say(f"  {what}: {path}{said}")
        if cue.mask is not None:
            say(f"Where it is: {printable(str(self._session.folder / cue.mask))}")

    def _say_facts(self, key: str) -> None:
        finding, query = self._session.findings[key], self._session.query
        say(plain_text(claim(finding, self._names(finding))))
        say(plain_text(meaning(finding, query.alpha)))
        for fact in facts(finding, alpha=query.alpha):
            hint = f" ({fact.hint})" if fact.hint else ""
            say(printable(f"  {fact.label}: {fact.value}{hint}"))
        for parent in finding.parents:
            left = ", ".join(printable(name) for name in parent.concepts)
            gap = "no gap" if parent.gap is None else f"{100 * parent.gap:+.0f} points"
            say(f"  With {left} alone: {gap}, {count(parent.n, 'image')}")
        for concept, share in finding.shapley.items():
            say(f"  Share of {printable(concept)}: {100 * share:+.0f} points")

    def _say_tags(self, key: str) -> None:
        answers = self._session.feedback(self._session.events_of(key)).answers
        finding = self._session.findings[key]
        tags = check_tags(finding, answers)
        if tags is not None:
            say(plain_text(tag_check(tags, finding.effect, blind=self._hides(key))))

    def _image_line(self, one: Evidence, number: int, *, hidden: bool) -> str:
        card = self._session.query.images[one.image]
        label = f"{number:>3}" if one.strip in ("present", "absent") else "   "
        said = (
            ""
            if hidden
            else f"{'right' if card.correct else 'WRONG: ' + printable(card.predicted)}"
        )
        own = "" if card.correct else "own class"
        sure = "" if hidden else f" {own} {percent(card.confidence)}".replace("  ", " ")
        path = printable(str(self._session.folder / card.thumbnail))
        return f"{label}  {path}  {said}{sure}".rstrip()

    def _names(self, finding: Finding) -> tuple[str, ...]:
        said = self._session.feedback()
        return tuple(display_name(concept, said) for concept in finding.concepts)


def _samples(finding: Finding) -> list[Evidence]:
    """Return the images that are numbered, in the order shown."""
    return [
        one for strip in ("present", "absent") for one in finding.evidence if one.strip == strip
    ]


def _ask(prompt: str) -> str | None:
    """Return what was typed; None where there is no more input."""
    Console().print(Text(prompt), soft_wrap=True, highlight=False, end="")
    try:
        return input().strip()
    except EOFError:
        return None
