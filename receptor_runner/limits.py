"""Bounds on what a stream may contain and on how long something may take, each with its reason.

Rules: sizes are bytes and times are seconds. A reader takes its limit as a parameter whose default is here. A bound
that says something about one algorithm alone stands in its file."""

from __future__ import annotations

from typing import NamedTuple

#: One line of a stream. Our callback plugin empties results of more than 700 kB; other workers send what they like.
MAX_LINE = 128 * 1024 * 1024

#: One archive, packed. A project of 20 GB has been reported by users of ansible-runner.
MAX_ARCHIVE = 64 * 1024**3

#: One archive, unpacked. A small hostile archive may grow to this.
MAX_UNPACKED = 256 * 1024**3

#: Members of one archive. Something about each of them is held in memory.
MAX_MEMBERS = 1_000_000

#: One content in the store of a node: a small file, a piece of a large one, or a piece of a manifest. A file of 64 GiB
#: has 15 MB of pieces in its manifest.
MAX_PIECE = 16 * 1024 * 1024

#: What the store of a node takes at most, unless it is told otherwise, in bytes.
STORE_SIZE = 10 * 1000**3

#: Directories above one member of an archive.
MAX_DEPTH = 200

#: Bytes of the name of one member, and of the target of a link: what the system calls of Linux take.
MAX_MEMBER_NAME = 4095

#: Beyond this many bytes, an archive may not grow to more than this many times its size. Text shrinks to a tenth.
FREE_GROWTH = 4 * 1024**3
MAX_GROWTH = 100

#: Holes in the files of one archive, in bytes. They would travel as zeros.
MAX_HOLES = 1024**3

#: How deep JSON may be nested. Ansible's own results are nested less than ten times.
MAX_JSON_DEPTH = 200

#: Values of one line of JSON. Each takes up to thirty times the memory that its text takes.
MAX_JSON_VALUES = 4_000_000

#: The facts of one host, in bytes.
MAX_FACTS = 16 * 1024 * 1024

#: YAML takes seconds and hundreds of megabytes for each megabyte; and so many values, those behind aliases counted each
#: time.
MAX_YAML = 1024 * 1024
MAX_YAML_VALUES = 200_000

#: One file of a job that a stage reads itself (``env/*``, ``args``), in bytes.
MAX_INPUT_FILE = 64 * 1024 * 1024

#: What is kept of text that is not part of the protocol, to explain a broken stream.
MAX_FOREIGN = 16 * 1024

#: The text of one event. The rest follows as ``verbose`` events, so that memory does not grow with a job's output.
MAX_EVENT_TEXT = 4 * 1024 * 1024

#: One line of text outside of events. A longer line becomes several ``verbose`` events.
MAX_VERBOSE_TEXT = 1024 * 1024

#: So many lines of text outside of events become events of their own in a second. What comes beside them becomes one
#: event for each flush, because a megabyte of newlines would be a million files at the controller.
PLAIN_EVENTS_A_SECOND = 1000

#: Objects on one line of a stream. Ours have one, and a line of somebody else's text may be in front of another.
MAX_OBJECTS_A_LINE = 100

#: One frame of the callback plugin. A result of 700 kB and everything around it fit easily.
MAX_FRAME = 64 * 1024 * 1024

#: How much of the latest output a password prompt may span.
PROMPT_WINDOW = 2048

#: Unit of writing: what a pipe holds.
BLOCK = 64 * 1024

#: The most that is read at once. All of it is parsed, and held, at once.
READ_BLOCK = 128 * 1024

#: Output waits this long for more output before it is sent on.
FLUSH_SECONDS = 0.05

#: A line that is not ended is shown after this long a silence, because somebody may be asked something.
PARTIAL_LINE_SECONDS = 3.0

#: What a job left running is not counted if it ends by itself within this time.
LEFTOVER_GRACE_SECONDS = 0.05

#: How many warnings of a job reach its submitter, and how long each may be.
MAX_WARNINGS = 20
MAX_WARNING_TEXT = 1000

#: The longest pause between two reads of output. Several events are carved in one go, then.
PAUSE_SECONDS = 0.02
#: The terminal holds twice as much. If a read finds this much, the command may be waiting for the terminal.
PTY_HALF_FULL_BYTES = 8 * 1024

#: Looking for the prompts of a job in its latest output may take this long.
PROMPT_SECONDS = 2.0

#: To stop a job, interrupt it at once, and terminate and kill it after these times.
TERM_SECONDS = 3.0
KILL_SECONDS = 5.0

#: Give up a process that does not die of SIGKILL after this long: it hangs in the kernel, or is another user's.
GIVE_UP_SECONDS = 3.0

#: When a job has ended by itself, what it left running is terminated and killed sooner.
LEFTOVER_TERM_SECONDS = 0.1
LEFTOVER_KILL_SECONDS = 2.0

#: Wait this long for the engine to exit after a container is killed.
ENGINE_PATIENCE_SECONDS = 1.0
#: This long after a stop began, the engine must have shown that no container is left. The time after that is for
#: artifacts.
CONTAINER_REMOVAL_DEADLINE_SECONDS = 7.0
#: An engine has this long to answer if no stop is in a hurry.
ENGINE_SECONDS = 8.0
#: After this long a silence a stage asks its guard whether it is there, and it has this long to answer: it may be
#: waiting for an engine.
GUARD_SILENCE_SECONDS = 10.0
GUARD_ANSWER_SECONDS = 20.0
#: A guard that was told to stop its command has this long to say that it has ended. Its own deadlines come first.
GUARD_STOP_SECONDS = 8.5
#: Removing what jobs left whose processes were all killed at once delays the next job so long at most.
ABANDONED_SECONDS = 2.0
#: Removing files that belong to a container's users may take this long.
UNSHARE_SECONDS = 10.0

#: Receptor kills a worker 10 s after its interrupt. If all artifacts cannot be written by this time, a small archive
#: goes out.
ARCHIVE_SECONDS = 7.5

#: ``process`` reads on this long after the first Ctrl-C. A worker needs less to say how the job ended.
LINGER_SECONDS = 10.0

#: ``process`` reads on this long behind the end mark, so that a writer with a last word does not die of a closed pipe.
DRAIN_SECONDS = 2.0

#: One line of a control service, in bytes: the list of some ten thousand units.
MAX_REPLY = 64 * 1024 * 1024
#: A control service answers at once. Some commands (cancel, release) wait for a worker to end, which takes ten seconds
#: and more.
CONTROL_SECONDS = 10.0
SLOW_CONTROL_SECONDS = 30.0
#: The results of a unit that has ended are read within this time, to tell its verdict without following it.
VERDICT_SECONDS = 300.0
#: A node that gets hundreds of jobs at once starts them one after the other, and answers each when it has started.
START_SECONDS = 120.0

#: A follower asks for the status of its unit after this long a silence.
UNIT_POLL_SECONDS = 3.0
#: After this long a silence it asks the node that runs the unit, and opens the results anew if it missed some.
STREAM_STALL_SECONDS = 12.0
#: After this long a silence it looks for the unit's process. Two and a half keep-alives of our worktypes are missing
#: then.
LIVENESS_PROBE_AFTER_SECONDS = 25.0
LIVENESS_RETRY_SECONDS = 2.0
#: A look that cannot tell (the worktype takes no parameters, or its worker is not ours) costs the node a unit. It is
#: repeated after this long.
PROBE_AGAIN_SECONDS = 600.0

#: The first and the longest pause before a connection is tried again.
RECONNECT_SECONDS = (0.05, 2.0)

#: If a unit is said to have ended, ask again after this long before believing it.
SETTLE_SECONDS = 0.5

#: After a restart of its node's daemon, results come this much later than the state that says that they ended. (The
#: idle timeout of its QUIC connections is 30 s, pkg/netceptor/conn.go.)
RESULTS_LAG_SECONDS = 90.0

#: A follower detaches when the mesh was out of reach for this long.
LOST_AFTER_SECONDS = 600.0

#: A cancelled job on a mesh may take this long to end: ten seconds for its worker, the rest for the way.
MESH_LINGER_SECONDS = 30.0

#: A worker of our own worktypes says so often that it is there.
KEEPALIVE_SECONDS = 10.0

#: A worker under Receptor looks this often whether the process that started it is still there.
PARENT_POLL_SECONDS = 1.0

#: A cancel callback is asked this often.
CANCEL_POLL_SECONDS = 0.25


class StreamLimits(NamedTuple):
    """What a stage takes from a stream before it refuses it, in bytes; ``members`` counts files."""

    line: int = MAX_LINE
    archive: int = MAX_ARCHIVE
    unpacked: int = MAX_UNPACKED
    members: int = MAX_MEMBERS


DEFAULT_LIMITS = StreamLimits()
