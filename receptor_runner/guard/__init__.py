"""The guard: a small process between a stage and the command that it runs.

Here live the guard's own code, and the client with which a stage speaks to it. What a command is made of is not known
here; see ``preparation``.

Rules: the guard has one thread and is started with ``subprocess.Popen``, so no stage ever forks by itself. Nothing of
a job outlives its guard. The guard outlives its stage by seconds at most, because it watches the pipe that the stage
holds. Only the guard removes what is temporary. What the two say to each other is in ``protocol``."""
