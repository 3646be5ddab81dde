"""Opens the results of a job that were sealed, with the key that its record has."""

from __future__ import annotations

import json
import os
from pathlib import Path

from receptor_runner.sealing.results import Unsealer


def unseal(results: Path, job: str) -> None:
    """The file ``results`` has in clear what was sealed there. If nothing was, it stays as it is."""
    record = Path(os.environ["XDG_STATE_HOME"], "receptor-runner", "jobs", job, "job.json")
    key = json.loads(record.read_bytes())["results_key"]
    if not key:
        return
    open_part = Unsealer(bytes.fromhex(key))
    lines = [json.loads(line) for line in results.read_bytes().splitlines()]
    parts = [open_part(line["receptor_runner"]["sealed"]) for line in lines if "receptor_runner" in line]
    results.unlink()
    results.write_bytes(b"".join(parts))
