"""The command line.

Here live one file for each command, and the options that commands share. How the work is done is not known here.

Rules: a command parses, calls one function, and chooses the exit status. Data goes to standard output, everything else
to standard error. A command imports what it needs when it is called, so that ``--help`` is quick."""
