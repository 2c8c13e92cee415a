"""Which faces are rare, where is the detector unsure, and does drawing rare faces more often help?

The face lab: a classifier with a histogram VAE, an ensemble, and adaptive resampling, on 200 crops
of 25 x 25 pixels, half of them faces, that come with scikit-image.
"""

import os
import sys
from pathlib import Path

import numpy as np

import sundog
from sundog.core.statistics import paired_difference
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.report.figures import montage_figure, risk_curve_figure, save_figures
from sundog.report.mean_images import mean_images
from sundog.report.risk_content import Tile, Windows

SHORT = os.environ.get("SUNDOG_SHORT") == "1"  # a few seconds: it runs, and learns nothing
OUT = Path(sys.argv[1] if "__file__" in globals() and len(sys.argv) > 1 else "risk-faces")
OUT.mkdir(parents=True, exist_ok=True)


def show(figures, name):
    """Write figures, and show them in a notebook."""
    paths = save_figures(figures, OUT / name)
    print("Written:", *paths)
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(*(Image(filename=str(path), width=900) for path in paths))


# %% [markdown]
# ## Faces, and a classifier that knows how common they are
#
# 60 images to train on, so that 140 are left to judge by and some of them are wrong. The copy of
# the classifier is trained on together with a VAE of its faces; the histogram of the latent
# variables tells how common a face is.

# %%
faces = sundog.load_image_set("faces")
chosen = np.arange(len(faces)) % 10 < 3
train, held = faces.subset(np.flatnonzero(chosen)), faces.subset(np.flatnonzero(~chosen))
if SHORT:
    train, held = train.subset(np.arange(0, 60, 3)), held.subset(np.arange(0, 140, 3))
FACE = train.class_names.index("face")
epochs = 2 if SHORT else 15
budget = {"epochs": epochs, "evaluate_every": epochs, "batch_size": 16, "device": "cpu"}
augmented = {**budget, "augment": "flip-shift"}

classifier = sundog.train_classifier("lab-cnn", train, **augmented).classifier
model = sundog.risk.wrap(classifier, "histogram_vae", target_class=FACE)
model.fit(train, train="all", options=sundog.risk.FitOptions(epochs=epochs, batch_size=16))
scored = model.predict(held)
predicted = scored.predicted.numpy()
right = predicted == held.labels
print(f"{right.sum()} of {len(held)} images are classified right.")

# %% [markdown]
# ## The rarest and the most common faces

# %%
density = scored.representation.numpy()
own = np.flatnonzero(held.labels == FACE)
order = own[np.argsort(density[own])]


def tiles(places):
    """Return the images at these places with label, prediction and log-density."""
    names = held.class_names
    return [
        Tile(held.image(i), names[held.labels[i]], names[predicted[i]], float(density[i]))
        for i in places.tolist()
    ]


ends = [("rarest", tiles(order[:10])), ("most common", tiles(order[::-1][:10]))]
figure = montage_figure(ends, rows=2, title="Faces by log-density of their latent variables")
show(figure, "rare-faces.png")

# %% [markdown]
# ## Is it wrong where faces are rare?
#
# All images, faces and others, in windows of equally many, with the mean image of each.


# %%
def along(answer, name, low, high):
    """Print accuracy along a risk and draw it; return the windows."""
    found = sundog.accuracy_vs_risk(
        getattr(answer, name),
        held.labels,
        answer.prediction,
        class_names=held.class_names,
        windows=3 if SHORT else 5,
        ids=held.ids,
    )
    for window in found.windows:
        print(f"   window {window.index}: accuracy {window.accuracy}")
    print(f"   {name} and being right, Spearman: {found.trend}")
    shown = ((held.image(i), int(found.membership[i])) for i in range(len(held)))
    windows = Windows(
        n=np.array([window.n for window in found.windows]),
        low=np.array([window.low for window in found.windows]),
        high=np.array([window.high for window in found.windows]),
        measures={"accuracy": [window.accuracy for window in found.windows]},
        mean_images=mean_images(shown, windows=len(found.windows), side=25),
        trend=found.trend,
    )
    figure = risk_curve_figure(windows, low_words=low, high_words=high, field=name)
    show(figure, f"{name}.png")
    return found


print("From least to most represented:")
windows = along(scored, "representation", "least represented", "most represented")

# %% [markdown]
# ## Is it wrong where it is unsure?
#
# The members of an ensemble differ by their seed alone. Where they disagree, data are missing:
# epistemic risk. It need not be the rare images.

# %%
ensemble = sundog.train_ensemble("lab-cnn", train, members=2 if SHORT else 5, **augmented)
print("From most to least certain:")
along(ensemble.predict(held), "epistemic", "most certain", "least certain")

# %% [markdown]
# ## Draw rare faces more often
#
# The lab's remedy: densities are measured every epoch, rare faces are drawn more often. The lab's
# own weights were uniform without anybody noticing; here every epoch says what the weights do.

# %%
vae_of = {"target_class": FACE}


def trained(seed, resample):
    """Train with a VAE of the faces, and if asked draw by its densities."""
    recipe = sundog.risk.HistogramVAETraining(sundog.risk.HistogramVAE(**vae_of))
    if resample:
        recipe = AdaptiveResampling(recipe, recipe.log_density, classes=[FACE])
    return sundog.train_classifier("lab-cnn", train, recipe=recipe, seed=seed, **augmented)


pairs = [(trained(seed, False), trained(seed, True)) for seed in range(1 if SHORT else 3)]
notes = pairs[0][1].history["recipe"].iloc[-1]
print(
    f"Last epoch: the faces drawn are worth {notes['least_class_share']:.0%} of as many equal ones."
)
for warning in notes.get("warnings", ()):
    print(warning)

# %% [markdown]
# ## The proof
#
# The same windows, the same images, every seed with and without resampling. The difference is
# paired: each image counts by how often it is right over the seeds.

# %%
shares = []
for runs in zip(*pairs, strict=True):
    answers = [sundog.risk.wrap(run.classifier, "msp").fit(train).predict(held) for run in runs]
    shares.append(np.mean([a.predicted.numpy() == held.labels for a in answers], axis=0))
before, after = shares
print(f"Right over {len(pairs)} seeds: {before.mean():.1%} before, {after.mean():.1%} after.")
for number in range(len(windows.windows)):
    inside = windows.membership == number
    change = paired_difference(after[inside], before[inside])
    print(
        f"   window {number}: {before[inside].mean():.0%} -> {after[inside].mean():.0%},", end=" "
    )
    print(f"difference {change.difference}, p = {change.p_value:.2f}")
whole = paired_difference(after, before).difference
clear = "changes nothing that shows" if whole.low <= 0 <= whole.high else "changes the accuracy"
print(f"All windows: {whole}. On these images resampling {clear}.")
