"""The guard: a small process between a stage and the command that it runs.

Rules: single-threaded; started with ``subprocess.Popen``, so no stage ever forks by itself. Nothing of a job outlives
its guard, and the guard outlives the stage by seconds at most: it watches the pipe that the stage holds. It alone
removes what is temporary.

The stage writes JSON lines to the guard's standard input:

``{"setup": {"temporary": bool, "remove": PATH or null}}``
    first; the guard makes a directory for the job's temporary files, and one to work in if asked, and answers a ``P``
    frame
``{"own": PATH}``
    a tree to be removed at the end, whether it exists yet or not
``{"run": COMMAND}``
    :meth:`receptor_runner.preparation.prepare.RunSpec.to_json`
``{"cancel": true}``
    stop the command
end of file
    stop everything, remove what is temporary, end

The guard writes frames to its standard output: one byte for the kind, four for the length (big endian), and the
content. ``P``: the path to work in, or an empty one, and the path for temporary files, as a JSON list; ``W``: lines
for the wire; ``w``: the same, but the line goes on in the next frame; ``R``: the result, a JSON object, once."""
