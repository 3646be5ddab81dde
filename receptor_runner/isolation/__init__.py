"""Jobs in containers and sandboxes: what was asked for, what the job sees, and the command that makes it so.

Rules: nothing is started here; a few files are written beside the job (``files``). The guard starts what comes out,
and stops it (``receptor_runner/guard/job.py``)."""
