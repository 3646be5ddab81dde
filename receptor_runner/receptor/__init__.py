"""What Receptor says and reads, as data.

Here live the control protocol, work units, configuration files and worktypes. Connections are in ``mesh`` and
``node``."""
