"""Which named concepts, alone or together, make a classifier fail or cheat, and what do people say?

The two analyses of a bias inspection, with feedback: digits of which half carry a stamp that the
model learned to lean on, and of which those of one camera at night are bad.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import sundog
from sundog.core.inspection.feedback import Answer, Feedback
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.report.figures import forest_figure, image_grid, save_figures

SHORT = os.environ.get("SUNDOG_SHORT") == "1"  # a few seconds: it runs, and shows little
OUT = Path(sys.argv[1] if "__file__" in globals() and len(sys.argv) > 1 else "inspect-digits")
OUT.mkdir(parents=True, exist_ok=True)


def show(figures, name):
    """Write figures, and show them in a notebook."""
    paths = save_figures(figures, OUT / name)
    print("Written:", *paths)
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(*(Image(filename=str(path), width=900) for path in paths))


# %% [markdown]
# ## A model with two faults that are known
#
# Every training digit carries a coloured stamp that tells the class: the model leans on it. Of the
# images to inspect only half carry it, and camera B at night takes noisy pictures: one of the two
# alone does no harm.

# %%
CLASSES = ("1", "3", "7")
cue = sundog.make_cue("patch", class_count=3, size=0.18, strength=1.0)


def digits(split, limit):
    """Return digits of three classes as tensors."""
    whole = sundog.load_image_set("digits", split=split, limit=limit)
    kept = [i for i, label in enumerate(whole.labels) if str(label) in CLASSES]
    part = whole.subset(kept)
    batch = next(part.batches(size=28, batch_size=len(part)))
    codes = torch.tensor([CLASSES.index(str(label)) for label in batch.labels.tolist()])
    return batch.images, codes, batch.ids


def image_set(images, labels, metadata=None):
    """Return an image set of tensors."""
    pixels = (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return sundog.from_arrays(pixels, labels.numpy(), CLASSES, name="digits", metadata=metadata)


images, labels, ids = digits("train", 400 if SHORT else 3000)
train = image_set(cue.plant(images, labels, ids).images, labels)
run = sundog.train_classifier(
    "small-cnn", train, epochs=2 if SHORT else 3, batch_size=32, size=28, device="cpu"
)

images, labels, ids = digits("validation", 200 if SHORT else None)
random = np.random.default_rng(0)
facts = pd.DataFrame(
    {
        "stamp": random.choice(["yes", "no"], len(labels)),
        "camera": random.choice(["A", "B", "C"], len(labels), p=[0.3, 0.4, 0.3]),
        "light": random.choice(["day", "dusk", "night"], len(labels), p=[0.3, 0.3, 0.4]),
    }
)
stamped = torch.tensor(facts["stamp"].eq("yes").to_numpy())[:, None, None, None]
bad = facts["camera"].eq("B") & facts["light"].eq("night")
images = torch.where(stamped, cue.plant(images, labels, ids).images, images)
noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
images = torch.where(
    torch.tensor(bad.to_numpy())[:, None, None, None], 0.4 * images + 0.6 * noise, images
)
held = image_set(images, labels, facts)
share, predicted = run.classifier.predict(images).softmax(dim=1).max(dim=1)
print(f"{len(held)} images, accuracy {(predicted == labels).float().mean():.1%}")
shown = list(range(0, len(held), max(1, len(held) // 12)))[:12]
grid = image_grid(
    images[shown].permute(0, 2, 3, 1).numpy(),
    predictions=predicted[shown].numpy(),
    probabilities=share[shown].numpy(),
    class_names=CLASSES,
    labels=labels[shown].numpy(),
    columns=6,
)
show(grid, "digits.png")

# %% [markdown]
# ## Single concepts: AnalyzeBias
#
# Step 1 tests every concept in every class, all images with it against all without it, and writes
# a folder for a person to judge. Here the concepts are columns of a table; `tagger="patches"` finds
# a stamp that nobody wrote down.

# %%
hidden = sundog.AnalyzeBias(run.classifier, held, None, tagger="metadata", size=28)
rankings = hidden.get_potential_biases(
    save_to_path=OUT / "hidden", permutations=200 if SHORT else 1000, replicate=not SHORT
)
print({name: list(found) for name, found in rankings.items()})

# %% [markdown]
# ## A person's feedback
#
# `sundog review` shows the pictures in a browser and records what is said. Here the answers are
# written by a rule: a stamp is a separate object, all else is background.

# %%
query = Query.read(OUT / "hidden" / QUERY_FILE)
answers = tuple(
    Answer(
        finding=finding.id,
        reviewer="a rule",
        verdict="separate object" if "stamp" in finding.concepts[0] else "background",
        confidence=4,
    )
    for finding in query.findings
)
feedback = Feedback(query=query.content_hash(), answers=answers).write(OUT / "feedback.json")

# %% [markdown]
# ## Results
#
# Step 2 joins findings and verdicts. A p-value is corrected for everything that was tested; without
# a finding, the smallest gap that would have shown says what that is worth.


# %%
def tell(results, name):
    """Print the significant findings in words and draw them."""
    kept = [one for one in results["findings"] if one["finding"]["significant"]]
    rows = []
    for one in kept:
        finding, effect = one["finding"], one["finding"]["effect"]
        words = " and ".join(one["names"])
        print(
            f"   {finding['class_name']} with {words}: accuracy {effect['present']:.0%}"
            f" (n = {effect['n_present']}) against {effect['absent']:.0%}"
            f" (n = {effect['n_absent']}), gap {effect['gap']:+.2f}"
            f" [{effect['low']:.2f}, {effect['high']:.2f}],"
            f" adjusted p = {finding['p_adjusted']:.3f}, {one['decision']}"
        )
        rows.append(
            {
                "comparison": f"{finding['class_name']}: {words}",
                "difference": effect["gap"],
                "low": effect["low"],
                "high": effect["high"],
                "p": finding["p_adjusted"],
                "n": effect["n_present"] + effect["n_absent"],
            }
        )
    print(f"   {len(kept)} findings. Page: {results['path']}/index.html")
    if rows:
        figure = forest_figure(
            pd.DataFrame(rows),
            score="accuracy with the concept - without it",
            left_means="hurts",
            right_means="helps",
            digits=2,
        )
        show(figure, f"{name}.png")


results = hidden.get_final_results(feedback)
tell(results, "hidden")

# %% [markdown]
# ## Combinations: AnalyzeComplexBias
#
# Camera B is harmless by day and night is harmless for camera A: only together they hurt. A
# combination is listed if every concept in it adds something that chance does not explain.

# %%
analysis = sundog.AnalyzeComplexBias(run.classifier, held, "metadata", size=28)
found = analysis.extract_complex_biases(
    save_to_path=OUT / "complex", permutations=200 if SHORT else 1000, replicate=not SHORT
)
tell(found, "complex")
