"""Ignores INT and TERM, in a session of its own, as a child of a child; known by its argument, a mark with
``-child``."""

import os
import signal
import sys
import time

MARK = sys.argv[1]

if not MARK.endswith("-child"):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, __file__, f"{MARK}-child"])
        os._exit(0)
    time.sleep(60)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
time.sleep(60)
