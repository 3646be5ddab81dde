"""Jobs in containers and sandboxes.

What isolation a job asks for, how it sees the paths of this machine, and the command that isolates it live here.
Starting and stopping that command does not; see ``guard``."""
