"""An audit that is killed in two stages, and then finishes as if it had not been."""

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.audit_subjects import timeless

SCRIPT = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path

    import torch

    torch.set_num_threads(1)
    from sundog.audit.audit_run import audit_classifier
    from sundog.audit.audit_settings import AuditSettings
    from sundog.audit.subject import make_subject
    from tests.audit_subjects import cheat, images

    root = Path(sys.argv[1])

    def audit(folder):
        settings = AuditSettings(
            stages=("concepts", "explanations"),
            taggers="photometric:tail=0.3",
            explained=32,
            methods="gradient_norm",
        )
        subject = make_subject(images(40), cheat(), batch_size=4)
        run = audit_classifier(subject, folder, settings=settings, progress=False)
        assert run.failed == ()

    def child(folder, sign):
        # Forked before anything was computed: no threads yet that a fork would lose.
        pid = os.fork()
        if pid == 0:
            audit(folder)
            os._exit(0)
        while sign is not None and not sign():
            if os.waitpid(pid, os.WNOHANG)[0]:
                return "finished"
            time.sleep(0.01)
        if sign is not None:
            os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]

    folder = root / "killed"
    scores = lambda: any(folder.glob("cells/scores/*/identity.json"))
    maps = lambda: any(folder.glob("faithfulness/cells/faithfulness/[!.]*.parquet"))
    print(child(folder, scores), (folder / "stages" / "performance.json").exists())
    print(child(folder, maps), (folder / "stages" / "explanations.json").exists())
    print(child(folder, None), (folder / "stages" / "explanations.json").exists())
    print(child(root / "whole", None))
    """
)


def test_an_audit_killed_in_two_stages_goes_on_and_ends_with_the_same_answer(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout.split("\n")[:4] == ["9 False", "9 False", "0 True", "0"], done.stderr
    killed, whole = (timeless(tmp_path / name / "audit.json") for name in ("killed", "whole"))
    assert killed == whole
    assert {s["status"] for s in whole["stages"]} == {"done", "skipped"}
