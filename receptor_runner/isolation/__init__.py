"""Jobs in containers and sandboxes.

Here live what isolation a job asks for, how it sees the paths of this machine, and the command that isolates it.
Nothing here starts or stops that command; see ``guard``."""
