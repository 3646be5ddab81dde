"""From a job to the command that runs it.

The command line, the environment, input files, the fact cache and masking live here. Nothing here starts a process."""
