"""The guard: a small process between a stage and the command that it runs.

Rules: single-threaded; started with ``subprocess.Popen``, so no stage ever forks by itself. Nothing of a job outlives
its guard, and the guard outlives the stage by seconds at most: it watches the pipe that the stage holds. It alone
removes what is temporary.

The stage writes JSON lines to the guard's standard input:

``{"setup": {"temporary": bool, "remove": PATH or null}}``
    first; the guard makes a temporary directory if asked, and answers a ``P`` frame with its path (or nothing)
``{"own": PATH}``
    a tree to be removed at the end, whether it exists yet or not
``{"run": COMMAND}``
    :meth:`receptor_runner.command.Command.to_json`
``{"cancel": true}``
    stop the command
end of file
    stop everything, remove what is temporary, end

The guard writes frames to its standard output: one byte for the kind, four for the length (big endian), and the
content. ``P``: a path; ``W``: lines for the wire; ``w``: the same, but the line goes on in the next frame; ``R``: the
result, a JSON object, once."""
