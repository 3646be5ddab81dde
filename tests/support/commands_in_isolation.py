"""Commands for isolated jobs that can be watched and stopped."""

from __future__ import annotations

#: A command that says when Ctrl-C reaches it, and one that nothing but KILL ends.
POLITE = 'sh -c \'trap "echo got-it; exit 7" INT; echo rea""dy; while :; do sleep 0.1; done\''


STUBBORN = 'sh -c \'trap "" INT TERM; echo rea""dy; while :; do sleep 0.1; done\''


#: Says that it runs, and ends when there is a file ``go`` in its private data dir.
READY_AND_WAIT = 'echo rea""dy; until test -e /runner/go; do sleep 0.1; done'
