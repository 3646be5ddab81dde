"""Runs ``sys.argv[2:]`` and writes the peak memory of it and its descendants, in kB, to the file ``sys.argv[1]``.

A process of its own, because a child inherits the peak of the process that it was forked from.
"""

import resource
import subprocess
import sys
from pathlib import Path

code = subprocess.call(sys.argv[2:])
Path(sys.argv[1]).write_text(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
