"""The guard: a small process between a stage and the command that it runs.

The guard's own code lives here, and the client with which a stage speaks to it. What a command is made of does not; see
``preparation``.

Rules: the guard is single-threaded and started with ``subprocess.Popen``, so no stage ever forks by itself. Nothing of
a job outlives its guard, and the guard outlives its stage by seconds at most: it watches the pipe that the stage
holds. It alone removes what is temporary. What the two say to each other is in ``protocol``."""
