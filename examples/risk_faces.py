"""The face lab: a classifier with a histogram VAE, accuracy along its risk, adaptive resampling.

``python examples/risk_faces.py`` (two minutes on a CPU; ``--quick`` only shows that it runs).
Images: 200 crops of 25 x 25 pixels, half of them faces, from scikit-image.
"""

import argparse

import numpy as np

import sundog
from sundog.debias.adaptive_resampling import AdaptiveResampling

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--quick", action="store_true", help="one epoch: it runs, and learns nothing")
quick = parser.parse_args().quick
epochs = 2 if quick else 15

# 60 images to train on, so that 140 are left to judge by and some of them are wrong.
faces = sundog.load_image_set("faces")
chosen = np.arange(len(faces)) % 10 < 3
train, held = faces.subset(np.flatnonzero(chosen)), faces.subset(np.flatnonzero(~chosen))
FACE = train.class_names.index("face")
budget = {"epochs": epochs, "batch_size": 16, "augment": "flip-shift", "device": "cpu"}

# 1. A classifier, and a copy of it that is trained on together with a VAE of its faces.
classifier = sundog.train_classifier("lab-cnn", train, **budget).classifier
model = sundog.risk.wrap(classifier, "histogram_vae", target_class=FACE)
model.fit(train, train="all", options=sundog.risk.FitOptions(epochs=epochs, batch_size=16))

# 2. Is it wrong where faces are rare? All images, faces and others, equally many per window.
before = model.predict(held)
windows = sundog.accuracy_vs_risk(
    before.representation,
    held.labels,
    before.prediction,
    class_names=held.class_names,
    windows=5,
    ids=held.ids,
)
print("least to most represented (before):")
print(
    windows.table()[["window", "n", "accuracy", "accuracy_low", "accuracy_high"]].to_string(
        index=False
    )
)
print("being right along representation, Spearman:", windows.trend)

# 3. The same budget with rare faces drawn more often, their densities measured every epoch.
vae = sundog.risk.HistogramVAETraining(sundog.risk.HistogramVAE(target_class=FACE))
recipe = AdaptiveResampling(vae, vae.log_density, classes=[FACE])
resampled = sundog.train_classifier("lab-cnn", train, recipe=recipe, **budget)
for epoch, notes in enumerate(resampled.history["recipe"], start=1):
    share = notes.get("least_class_share")
    shown = notes["phase"] if share is None else f"effective size of the faces {share:.0%}"
    print(f"epoch {epoch}: {shown}", *notes.get("warnings", ()))

# 4. Before and after, on the same windows.
after = sundog.risk.wrap(resampled.classifier, "msp").fit(train).predict(held)
frozen = sundog.accuracy_vs_risk(
    before.representation,
    held.labels,
    after.prediction,
    class_names=held.class_names,
    frozen=windows.membership,
)
for name, found in (("before", windows), ("after", frozen)):
    shares = ", ".join(f"{window.accuracy.value:.0%}" for window in found.windows)
    print(f"{name:6} {shares}; all {found.overall.accuracy}")
print("28 images in a window cannot show a small difference: look at the intervals.")
