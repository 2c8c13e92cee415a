"""Put the claimed cues before the people who judge the findings of an inspection."""

from __future__ import annotations

import shutil
from pathlib import Path

from sundog.audit.query_files import keep_verdicts
from sundog.audit.results_run import write_results
from sundog.core.audit.cue_findings import cue_findings, picture_names, with_cues
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.files import atomic_path
from sundog.core.inspection.query import QUERY_FILE, Query


def merge_cues_into_query(
    inspect_folder: str | Path, cues_folder: str | Path, *, command: str = ""
) -> Query:
    """Add the claimed cues of a search to the query of an inspection, in front of its findings.

    Copies their pictures and writes the query, ``results.json`` and the page anew. May be called
    again, also with other cues as long as nobody has judged them.

    Args:
        inspect_folder: run folder of an inspection.
        cues_folder: run folder of a search for cues.
        command: how to reproduce, shown on the page.

    Raises:
        RunFolderError: no readable query or cues, or people have answered another query.
    """
    inspect_folder, cues_folder = Path(inspect_folder), Path(cues_folder)
    query = Query.read(inspect_folder / QUERY_FILE)
    cues = Cues.read(cues_folder / CUES_FILE)
    merged = with_cues(query, cues)
    keep_verdicts(inspect_folder, merged)
    for finding in cue_findings(cues):
        for source, target in picture_names(finding).items():
            if (cues_folder / source).is_file():  # the page says which pictures are missing
                with atomic_path(inspect_folder / target) as temporary:
                    shutil.copyfile(cues_folder / source, temporary)
    merged.write(inspect_folder / QUERY_FILE)
    write_results(inspect_folder, command=command)
    return merged
