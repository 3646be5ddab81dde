"""What a job is made of.

Here live parameters, the private data dir, inventories, and which of two sources wins. How a job becomes a command is
not known here; see ``preparation``."""
