"""Ignores INT and TERM, in a session of its own, as a child of a child; known by a mark in its arguments."""

import os
import signal
import sys
import time

MARK = "receptor-runner-stubborn-child"

if MARK not in sys.argv:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, __file__, MARK])
        os._exit(0)
    time.sleep(60)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
time.sleep(60)
