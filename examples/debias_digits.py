"""Mend a digit classifier that leans on a coloured square, and prove it.

``python examples/debias_digits.py`` (some minutes on a CPU; ``--quick`` only shows that it runs).
"""

import argparse
import tempfile

import sundog

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", help="folder of the run; a temporary one if not given")
parser.add_argument("--quick", action="store_true", help="few images, one seed, one method")
options = parser.parse_args()
folder = options.out or tempfile.mkdtemp(prefix="debias-digits-")

# The square has the digit's own colour in 95 of 100 training images, and in half of the others.
opened = sundog.open_debias(
    "digits",
    network="small-cnn",
    cue="patch",
    strength=0.95,
    limit=300 if options.quick else 2000,
    size=28,
)
run = sundog.debias_classifier(
    opened.model,
    opened.data,
    folder,
    settings=sundog.DebiasSettings(
        methods=["projection"]
        if options.quick
        else ["projection", "cue_augmentation", "group_reweighting", "adaptive_resampling"],
        seeds=[0] if options.quick else [0, 1, 2],
        epochs=2 if options.quick else 4,
        batch_size=16 if options.quick else 32,
    ),
)
print(opened.data.split)
print(opened.data.alignment.advice)
for row in (run.before, *run.results):
    shown = (f"{name} {row.scores[name]}" for name in ("worst_group", "average", "flip_rate"))
    print(f"{row.name:20}", "; ".join(shown))
print(f"{run.outcome}: {run.chosen or 'no method is kept'}; {run.choice.reason}")
print(run.choice.statement)
print("Page:", run.page)
