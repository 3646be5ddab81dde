"""Follows the job named first, and appends the counter of every event that a handler saw to the file named second."""

import os
import sys

from receptor_runner import Mesh

log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
finished = os.open(sys.argv[2] + ".finished", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
outcome = Mesh.job(sys.argv[1]).follow(
    event_handler=lambda event: bool(os.write(log, f"{event['counter']}\n".encode())),
    finished_callback=lambda result: os.write(finished, b"finished\n"),
)
sys.exit(outcome.exit_code)
