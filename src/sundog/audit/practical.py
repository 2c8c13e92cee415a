"""``sundog demo``: plant a cue in embedded digits, train two models, find out which one cheats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sundog.audit.compare_run import compare_runs
from sundog.audit.explain_run import ExplainRun, explain_images
from sundog.audit.faithfulness_run import FaithfulnessRun, score_explanations
from sundog.audit.requests import parse_methods
from sundog.audit.subject import Subject, make_subject
from sundog.bias.compare import Comparison
from sundog.data.load import load_image_set
from sundog.data.planting import make_cue
from sundog.faithfulness.table import FaithfulnessTable
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model
from sundog.report.demo_page import demo_page
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, write_page

CUE = "patch"
EPOCHS = 6
SCORED = 200
METHODS = "occlusion:grid=7,gradient_norm,gradient_x_input,integrated_gradients,deep_lift,grad_cam"
SIDE_BY_SIDE = "occlusion:grid=7,gradient_x_input,integrated_gradients,grad_cam"
PHOTO_METHODS = "occlusion,gradient_norm,gradient_x_input,integrated_gradients:n_steps=20,grad_cam"
PHOTOS = ("astronaut", "camera", "chelsea", "clock", "coffee", "rocket")
NAMES = {"biased": "trained with the cue", "sound": "trained without"}


@dataclass(frozen=True, repr=False)
class PracticalRun(PageInNotebook):
    """What :func:`run_practical` found: the page, its content, both tables."""

    path: Path
    page: Path
    content: Page
    comparison: Comparison
    faithfulness: FaithfulnessTable


def run_practical(
    out_dir: str | Path,
    *,
    seed: int = 0,
    photos: bool = True,
    say: Callable[[str], None] = lambda _text: None,
    progress: bool | None = None,
) -> PracticalRun:
    """Plant, train, compare, explain, score, and write one page.

    Args:
        out_dir: folder of the page and of one run folder per step; a second call goes on where
            the first was stopped.
        seed: of every random choice.
        photos: also explain efficientnet-lite0 on the embedded photographs.
        say: told in a line what is being done.
        progress: None shows it on a terminal.

    Raises:
        MissingExtraError: the embedded images or weights are not installed.
    """
    out = Path(out_dir)
    subjects = _train(out, seed=seed, say=say, progress=progress)
    cue = make_cue(CUE, class_count=10, seed=seed)
    say("Comparing: every digit without the cue, with its own, and with another class's.")
    compared = compare_runs(
        subjects,
        cue,
        out / "compare",
        methods=parse_methods(SIDE_BY_SIDE, seed=seed),
        shown=6,
        seed=seed,
        progress=progress,
        command=f"sundog compare {out}/biased {out}/sound --data digits --split validation "
        "--cue recorded",
    )
    say(f"Scoring explanations of the sound model on {SCORED} digits.")
    scored = _score(subjects["sound"], out / "faithfulness", seed=seed, progress=progress)
    explained = None
    if photos:
        say("Explaining efficientnet-lite0 (ImageNet) on embedded photographs.")
        explained = _photos(out / "photos", seed=seed, progress=progress)
    content = demo_page(
        compared=compared.content,
        scored=scored.content,
        photos=explained.content if explained is not None else None,
        facts=subjects["sound"].facts(),
        command="sundog demo",
    )
    page = write_page(content, out / "index.html")
    return PracticalRun(
        path=out,
        page=page,
        content=content,
        comparison=compared.comparison,
        faithfulness=scored.table,
    )


def _train(
    out: Path, *, seed: int, say: Callable[[str], None], progress: bool | None
) -> dict[str, Subject]:
    train, held = (load_image_set("digits", split=split) for split in ("train", "validation"))
    cue = make_cue(CUE, class_count=10, seed=seed)
    subjects = {}
    for name, meaning in NAMES.items():
        say(f"Training model {name!r} on {len(train)} digits ({meaning}).")
        run = train_classifier(
            "small-cnn",
            train,
            validation_set=held,
            train_cue=cue if name == "biased" else None,
            eval_cue=cue,
            epochs=EPOCHS,
            seed=5807 + seed,
            size=28,
            evaluate_every=EPOCHS,
            out_dir=out / name,
            device="cpu",
            progress=progress,
        )
        subjects[name] = make_subject(held, run.classifier, size=28, batch_size=100)
    return subjects


def _score(subject: Subject, out: Path, *, seed: int, progress: bool | None) -> FaithfulnessRun:
    some = load_image_set("digits", split="validation", limit=SCORED, seed=seed)
    return score_explanations(
        make_subject(some, subject.classifier, size=28, batch_size=50),
        parse_methods(METHODS, seed=seed),
        out,
        metrics=("deletion", "insertion"),
        seed=seed,
        progress=progress,
        command=f"sundog faithfulness digits --split validation --model {out.parent}/sound "
        f"--limit {SCORED} --methods {METHODS}",
    )


def _photos(out: Path, *, seed: int, progress: bool | None) -> ExplainRun:
    whole = load_image_set("photos")
    chosen = [
        index
        for index, source in enumerate(whole.sources)
        if any(word in source for word in PHOTOS)
    ]
    subject = make_subject(whole.subset(chosen), get_model("efficientnet-lite0"), batch_size=6)
    return explain_images(
        subject,
        parse_methods(PHOTO_METHODS, seed=seed),
        out,
        curve_steps=10,
        seed=seed,
        progress=progress,
        command=f"sundog explain photos --model efficientnet-lite0 --methods {PHOTO_METHODS}",
    )
