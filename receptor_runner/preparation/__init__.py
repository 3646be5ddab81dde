"""From a job to the command that runs it.

Here live the command line, the environment, input files, the fact cache and masking. Nothing here starts a process."""
