"""What Receptor says and reads.

The control protocol, work units, configuration files and worktypes live here, as data. Connections do not; see
``mesh`` and ``node``."""
