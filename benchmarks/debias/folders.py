"""Where the runs of a setting are kept."""

from pathlib import Path

from benchmarks.debias.settings import Setting


def cell_folder(work_folder: Path, setting: Setting, seed: int) -> Path:
    """Return the folder of one setting and seed; another setting has another folder."""
    return work_folder / f"{setting.name}-{setting.key}" / f"seed{seed}"
