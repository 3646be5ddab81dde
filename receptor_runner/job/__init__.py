"""What a job is made of.

Parameters, the private data dir and inventories live here. How a job becomes a command does not; see
``preparation``."""
