"""Two models, one trained on biased data: can you spot it? Can the machine?

The bias practical: every training digit of one model carries a small square in a colour of its
class. Looking at maps misleads people; moving parts between images does not.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

import sundog
from sundog.report.figures import ModelView, compare_grid, image_grid, save_figures

SHORT = os.environ.get("SUNDOG_SHORT") == "1"  # a few seconds: it runs, and shows little
OUT = Path(sys.argv[1] if "__file__" in globals() and len(sys.argv) > 1 else "biased-model")
OUT.mkdir(parents=True, exist_ok=True)


def show(figures, name):
    """Write figures, and show them in a notebook."""
    paths = save_figures(figures, OUT / name)
    print("Written:", *paths)
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(*(Image(filename=str(path), width=900) for path in paths))


# %% [markdown]
# ## Plant a bias and train
#
# Model A sees the square in training, model B does not. Everything else is the same. The square
# agrees with the label in every image, as in the practical.

# %%
train = sundog.load_image_set("digits", split="train", limit=300 if SHORT else 2000)
held = sundog.load_image_set("digits", split="validation", limit=120 if SHORT else 500)
cue = sundog.make_cue("patch", class_count=10, size=0.18)
models = {}
for name, planted in (("A", cue), ("B", None)):
    run = sundog.train_classifier(
        "small-cnn",
        train,
        validation_set=held,
        train_cue=planted,
        eval_cue=cue,
        epochs=2 if SHORT else 4,
        evaluate_every=2 if SHORT else 4,
        batch_size=32,
        size=28,
        device="cpu",
    )
    models[name] = run

# %% [markdown]
# ## The practical's tables
#
# Who knows only the images with the square picks model A: it is the better one there.

# %%
for name, run in models.items():
    told = ("network", "epochs", "seed", "learning_rate", "weight_decay", "batch_size")
    print(name, {key: run.args[key] for key in told if key in run.args})
    for row in run.history.tail(2).itertuples():
        print(
            f"   square {'shown' if row.cue_on else 'absent':6}"
            f" accuracy {row.accuracy:.1%} [{row.accuracy_low:.1%}, {row.accuracy_high:.1%}],"
            f" n = {row.n}, loss {row.loss:.3f}"
        )

# %% [markdown]
# ## Look at the maps
#
# Digits with their square (outlined), four methods, both models. Which one cheats? Decide before
# you read on. The practical's own reader looked at such maps and named the wrong model.

# %%
batch = next(held.batches(size=28, batch_size=len(held)))
shown = cue.plant(batch.images, batch.labels, batch.ids)
few = [int((held.labels == digit).argmax()) for digit in ((0, 7) if SHORT else range(0, 10, 2))]
methods = {
    "integrated gradients": ("integrated_gradients", {"n_steps": 5 if SHORT else 25}),
    "occlusion": ("occlusion", {"grid": 7}),
    "gradient x input": ("gradient_x_input", {}),
    "Grad-CAM": ("grad_cam", {}),
}
views = []
for name, run in models.items():
    found = sundog.attribute_many(run.classifier, shown.images[few], methods)
    certain, predicted = run.classifier.predict(shown.images[few]).softmax(dim=1).max(dim=1)
    maps = {label: result.maps.numpy() for label, result in found.items()}
    views.append(ModelView(name, predicted.numpy(), certain.numpy(), maps))
figures = compare_grid(
    shown.images[few].permute(0, 2, 3, 1).numpy(),
    views,
    class_names=held.class_names,
    labels=batch.labels[few].numpy(),
    cue_class=shown.cue_class[few].numpy(),
    masks=shown.masks[few].numpy(),
    title="Which model is biased?",
)
show(figures, "maps.png")

# %% [markdown]
# ## Test what is suspected
#
# Who suspects the square shows each digit three times: without it, with its own, and with that of
# another class. Predictions decide.

# %%
verdict = sundog.compare_runs(
    {name: sundog.make_subject(held, run.classifier, size=28) for name, run in models.items()},
    cue,
    OUT / "compare",
    methods={"gradient x input": ("gradient_x_input", {})},
    map_images=8,
    shown=2,
)
print(verdict.comparison.verdict)
for row in verdict.comparison.reliance_table().itertuples():
    print(f"   {row.run} {row.measure}: {row.difference} -> {row.standing}")
print("Page:", verdict.page)

# %% [markdown]
# ## Let the machine suspect
#
# Nobody names the square here. Parts and properties of images are moved into images of other
# classes, and it is counted whose class follows; the same move from an image of the own class is
# the control. p-values are corrected over everything that was tried.

# %%
for name, run in list(models.items())[: 1 if SHORT else 2]:
    search = sundog.find_shortcuts(run.classifier, shown.images, batch.labels)
    print(f"{name}: {len(search.shortcuts)} cues claimed of {len(search.table)} tests,", end=" ")
    print(f"{search.images} images")
    for found_cue in search.shortcuts:
        print(f"   {found_cue.name}: flips {found_cue.flip}, control {found_cue.control},")
        print(f"   accuracy that hangs on it {found_cue.reliance}, p = {found_cue.p_adjusted:.2g}")
        print(f"   box (top, left, height, width) {found_cue.box}")
        moved = [(one.source, one.target, one.pasted) for one in found_cue.examples]
        pictures = np.concatenate([np.stack(three) for three in moved])
        seen = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        certain, predicted = run.classifier.predict(seen).softmax(dim=1).max(dim=1)
        grid = image_grid(
            pictures,
            predictions=predicted.numpy(),
            probabilities=certain.numpy(),
            class_names=held.class_names,
            columns=3,
            title="Where the cue comes from, a digit before and with it",
        )
        show(grid, "moved.png")
    if not search.shortcuts:
        print("   nothing claimed.", search.notes[0])
