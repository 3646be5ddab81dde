"""What Receptor says and reads, as data.

Here live the control protocol, work units, configuration files and worktypes. How connections are made is not
known here; see ``mesh`` and ``node``."""
