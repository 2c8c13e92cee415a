"""Documentation duties: what the EU AI Act, NIST's framework, model and data cards ask of a test.

One row per item: which clauses ask for it, what the run can say, what a person must state. A run
gives evidence, never conformity; this is not legal advice.

Sources: Regulation (EU) 2024/1689 (AI Act), Articles 10, 13, 14 and 15 and Annex IV; NIST AI 100-1
(AI RMF 1.0), MEASURE 2; Mitchell et al., 2019, Model Cards for Model Reporting, section 4;
Pushkarna et al., 2022, Data Cards. The Act asks this of high-risk systems alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sundog.core.audit.summary import AuditSummary
from sundog.report import duty_texts as texts

State = Literal["from the run", "from a person", "a person must add", "open"]
DISCLAIMER = (
    "Evidence for the person who writes the documentation; not legal advice, and no statement that "
    "any requirement is met."
)


@dataclass(frozen=True)
class Duty:
    """One item that documentation asks for.

    Attributes:
        key: name in the answers file.
        title: in words.
        asked_by: clauses that ask for it.
        ask: what a person must state; empty where the run says all of it.
        build: what the run says; empty text where it does not know.
    """

    key: str
    title: str
    asked_by: tuple[str, ...]
    ask: str = ""
    build: Callable[[AuditSummary], str] = texts.nothing


@dataclass(frozen=True)
class Filled:
    """One item with what is known of it.

    Attributes:
        duty: the row of the table.
        state: where the text comes from, or that it is open.
        run: what the run says; empty for nothing.
        person: what a person stated; empty for nothing.
    """

    duty: Duty
    state: State
    run: str = ""
    person: str = ""

    @property
    def open(self) -> bool:
        """Whether a person must still state something."""
        return self.state in ("open", "a person must add")


DUTIES: tuple[Duty, ...] = (
    Duty(
        "intended_use",
        "Intended purpose, users, and uses out of scope",
        ("AI Act Annex IV 1(a)", "AI Act Art. 13(3)(b)(i)", "Model card: intended use"),
        "what the classifier is for, who uses it, and what it must not be used for",
    ),
    Duty(
        "model",
        "Model details",
        ("AI Act Annex IV 1 and 2(b)", "Model card: model details"),
        "who developed it, its version, architecture and licence, and how it was trained",
        texts.model,
    ),
    Duty(
        "training_data",
        "Training data: origin, collection, labelling, licence, consent",
        (
            "AI Act Annex IV 2(d)",
            "AI Act Art. 10(2)(b)(c)",
            "Model card: training data",
            "Data card: provenance, collection, labels",
        ),
        "where the training images come from, how they were collected and labelled, under which "
        "licence and consent",
    ),
    Duty(
        "test_data",
        "Test data and their main characteristics",
        ("AI Act Annex IV 2(g)", "NIST MEASURE 2.1", "Model card: evaluation data"),
        "why these images stand for the intended use, and where they come from",
        texts.test_data,
    ),
    Duty(
        "factors",
        "Groups: which, and how each was obtained",
        ("AI Act Annex IV 3", "NIST MEASURE 2.11", "Model card: factors"),
        "which groups of persons or conditions matter for the intended use, and which of them are "
        "missing here",
        texts.factors,
    ),
    Duty(
        "metrics",
        "Metrics and why they are appropriate",
        ("AI Act Annex IV 2(g) and 4", "NIST MEASURE 2.1", "Model card: metrics"),
        "why these metrics suit the intended use, and which values are acceptable",
        texts.metrics,
    ),
    Duty(
        "accuracy",
        "Level of accuracy",
        ("AI Act Art. 15(3)", "AI Act Art. 13(3)(b)(ii)", "AI Act Annex IV 3", "NIST MEASURE 2.3"),
        build=texts.accuracy,
    ),
    Duty(
        "groups",
        "Accuracy for specific groups",
        (
            "AI Act Annex IV 3",
            "AI Act Art. 13(3)(b)(v)",
            "NIST MEASURE 2.11",
            "Model card: quantitative analyses",
        ),
        build=texts.groups,
    ),
    Duty(
        "bias_examination",
        "Examination for possible biases",
        ("AI Act Art. 10(2)(f)", "NIST MEASURE 2.11", "Data card: known skews"),
        build=texts.bias,
    ),
    Duty(
        "discriminatory_impacts",
        "Potentially discriminatory impacts",
        ("AI Act Annex IV 2(g) and 3", "NIST MEASURE 2.11", "Model card: ethical considerations"),
        "whom an error harms and how, and which of the findings concern persons",
    ),
    Duty(
        "mitigation",
        "Measures to detect, prevent and mitigate biases",
        ("AI Act Art. 10(2)(g)",),
        "what was done about each finding, or why nothing was",
        texts.mitigation,
    ),
    Duty(
        "data_gaps",
        "Gaps and shortcomings of the data",
        ("AI Act Art. 10(2)(h) and 10(3)", "Data card: known skews"),
        "how the gaps will be closed",
        texts.data_gaps,
    ),
    Duty(
        "robustness",
        "Robustness: circumstances that lower the accuracy",
        ("AI Act Art. 15(4)", "AI Act Art. 13(3)(b)(ii)(iii)", "NIST MEASURE 2.5"),
        "robustness to what this audit does not try: noise, weather, attacks, drift",
        texts.robustness,
    ),
    Duty(
        "explanation",
        "Explaining and interpreting the output",
        ("AI Act Art. 13(3)(b)(iv)(vii)", "NIST MEASURE 2.9"),
        build=texts.explanation,
    ),
    Duty(
        "generalisation",
        "Conditions under which the results hold",
        ("NIST MEASURE 2.3 and 2.5", "AI Act Art. 13(3)(b)(vi)", "Model card: caveats"),
        "how the conditions of use differ from those of the test images",
        texts.generalisation,
    ),
    Duty(
        "measurement",
        "How well the tests measure",
        ("NIST MEASURE 2.13",),
        build=texts.measurement,
    ),
    Duty(
        "residual_risk",
        "Residual risk, safety, and recommendations",
        ("AI Act Annex IV 3 and 5", "NIST MEASURE 2.6", "Model card: recommendations"),
        "which risks remain and are accepted, by whom",
        texts.residual,
    ),
    Duty(
        "oversight",
        "Human oversight",
        ("AI Act Art. 14", "AI Act Annex IV 3", "NIST MEASURE 2.8"),
        "who watches the output, and how it can be overruled",
    ),
    Duty(
        "monitoring",
        "Monitoring in use",
        ("NIST MEASURE 2.4", "AI Act Annex IV 9"),
        "what is watched once the classifier is in use, and how often this audit is repeated",
    ),
    Duty(
        "privacy",
        "Privacy and persons in the images",
        ("NIST MEASURE 2.2 and 2.10", "Data card: sensitive attributes"),
        "whether persons can be recognised, and on which basis their images are used",
    ),
    Duty(
        "security",
        "Security",
        ("NIST MEASURE 2.7", "AI Act Art. 15(5)", "AI Act Annex IV 2(h)"),
        "which attacks were considered; this audit tries none",
    ),
    Duty(
        "environment",
        "Environmental impact",
        ("NIST MEASURE 2.12",),
        "the energy of the training",
        texts.environment,
    ),
    Duty(
        "test_log",
        "Test log and reproducibility",
        ("AI Act Annex IV 2(g)", "NIST MEASURE 2.1"),
        build=texts.test_log,
    ),
    Duty(
        "signature",
        "Date and signature of the responsible person",
        ("AI Act Annex IV 2(g)",),
        "who is responsible for this test report, with date and signature",
        texts.date,
    ),
)
"""Every item, in the order of a report."""


def fill_duties(summary: AuditSummary) -> tuple[Filled, ...]:
    """Return every item with what the run and the answers of a person say of it."""
    return tuple(_fill(duty, summary) for duty in DUTIES)


def further_answers(summary: AuditSummary) -> dict[str, str]:
    """Return the answers of a person that no item asks for."""
    keys = {duty.key for duty in DUTIES}
    return {key: text for key, text in summary.duties.items() if key not in keys and text.strip()}


def questions() -> dict[str, str]:
    """Return key -> what a person must state, of every item that needs one: an answers file."""
    return {duty.key: f"State {duty.ask}." for duty in DUTIES if duty.ask}


def _fill(duty: Duty, summary: AuditSummary) -> Filled:
    run = duty.build(summary).strip()
    person = summary.duties.get(duty.key, "").strip()
    if person:
        return Filled(duty, "from a person", run, person)
    if not run:
        return Filled(duty, "open")
    return Filled(duty, "a person must add" if duty.ask else "from the run", run)
