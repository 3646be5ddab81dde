"""Every bound on what is read, held or waited for, each with its reason.

Rules: sizes are bytes, times are seconds; a reader takes its limit as a parameter whose default is here.
"""

from __future__ import annotations

from typing import NamedTuple

#: One line of a stream. Ansible results are cut at 700 kB by the callback plugin, other workers send what they like.
MAX_LINE = 128 * 1024 * 1024

#: One archive, packed. A project of 20 GB has been reported by users of ansible-runner.
MAX_ARCHIVE = 64 * 1024**3

#: One archive, unpacked: what a small hostile archive may grow to.
MAX_UNPACKED = 256 * 1024**3

#: Members of one archive: what is told about them is held in memory.
MAX_MEMBERS = 1_000_000

#: Directories above one member of an archive.
MAX_DEPTH = 200

#: What is kept of text that is not part of the protocol, to explain a broken stream.
MAX_FOREIGN = 16 * 1024

#: The text of one event; what is beyond follows as ``verbose`` events, so that memory does not grow with a job's
#: output.
MAX_EVENT_TEXT = 4 * 1024 * 1024

#: One line of text outside of events; a longer one is cut into several ``verbose`` events.
MAX_VERBOSE_TEXT = 1024 * 1024

#: One frame of the callback plugin: a result of 700 kB and everything around it, with room.
MAX_FRAME = 64 * 1024 * 1024

#: How much of the latest output a password prompt may span.
PROMPT_WINDOW = 2048

#: Unit of writing: what a pipe holds.
BLOCK = 64 * 1024

#: Most that is read at once: what is in it is parsed, and held, at once too.
READ_BLOCK = 128 * 1024

#: Longest time that output waits for more of it before it is sent on.
FLUSH_SECONDS = 0.05

#: Longest pause between two reads of output, so that several events are carved in one go.
PAUSE_SECONDS = 0.02
#: So much output in one go means that the command may be waiting for its terminal, which holds twice as much.
PTY_HALF_FULL_BYTES = 8 * 1024

#: Stopping a job: interrupt at once, terminate and kill these seconds later.
TERM_SECONDS = 3.0
KILL_SECONDS = 5.0

#: After this long a process that does not die of SIGKILL (in the kernel, or another user's) is given up.
GIVE_UP_SECONDS = 3.0

#: After a job's own end its leftovers are not worth that much patience.
LEFTOVER_TERM_SECONDS = 0.1
LEFTOVER_KILL_SECONDS = 2.0

#: After a container was killed, the processes of its engine get so long to notice,
ENGINE_PATIENCE_SECONDS = 1.0
#: and from the beginning of the stop on, the engine so long to show that nothing is left: the rest is for artifacts.
CONTAINER_REMOVAL_DEADLINE_SECONDS = 7.0
#: The same where no stop is in a hurry.
ENGINE_SECONDS = 8.0
#: How long it may take to remove files that belong to a container's users.
UNSHARE_SECONDS = 10.0

#: Receptor kills a worker 10 s after its interrupt: artifacts not on their way by then are cut down to a small archive.
ARCHIVE_SECONDS = 7.5

#: How long ``process`` goes on reading after the first Ctrl-C: a worker needs no longer to say how the job ended.
LINGER_SECONDS = 10.0

#: How long ``process`` reads on behind the end mark, so that a writer with a last word does not die of a closed pipe.
DRAIN_SECONDS = 2.0

#: A control service answers at once; some commands (cancel, release) wait for a worker's end, ten seconds, and more.
CONTROL_SECONDS = 10.0
SLOW_CONTROL_SECONDS = 30.0
#: A node that is given hundreds of jobs at once starts them one after the other, and says so when each has started.
START_SECONDS = 120.0

#: A follower of a unit looks at it after this long a silence,
UNIT_POLL_SECONDS = 3.0
#: asks for its results anew, because a connection over the mesh may be deaf,
STREAM_STALL_SECONDS = 12.0
#: and looks for the process that works on it: two keep-alives of our worktypes and a half are missing then.
LIVENESS_PROBE_AFTER_SECONDS = 25.0
LIVENESS_RETRY_SECONDS = 2.0
#: A look that cannot tell (no leave to pass parameters, another's worker) costs the node a unit: not often.
PROBE_AGAIN_SECONDS = 600.0

#: First and longest pause before a connection is tried again.
RECONNECT_SECONDS = (0.05, 2.0)

#: A state that says that a unit ended is asked for again after this long.
SETTLE_SECONDS = 0.5

#: After its node's daemon was restarted, results come this much later than the state that says that they ended (the
#: idle timeout of its QUIC connections is 30 s, pkg/netceptor/conn.go).
RESULTS_LAG_SECONDS = 90.0

#: How long the mesh may be out of reach before a follower detaches.
LOST_AFTER_SECONDS = 600.0

#: How long a job on a mesh may take to end after it was cancelled: ten seconds for its worker, the rest for the way.
MESH_LINGER_SECONDS = 30.0

#: How often a worker under Receptor looks whether the process that started it is still there.
PARENT_POLL_SECONDS = 1.0

#: How often a cancel callback is asked.
CANCEL_POLL_SECONDS = 0.25


class StreamLimits(NamedTuple):
    """What a stage takes from a stream before it refuses it, in bytes; ``members`` counts files."""

    line: int = MAX_LINE
    archive: int = MAX_ARCHIVE
    unpacked: int = MAX_UNPACKED
    members: int = MAX_MEMBERS


DEFAULT_LIMITS = StreamLimits()
