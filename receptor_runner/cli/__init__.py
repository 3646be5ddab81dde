"""The command line.

One file for each command lives here, and the options that commands share. The work does not.

Rules: parse, call one function, choose the exit status. Data goes to standard output, everything else to standard
error. A command imports what it needs when it is called, so that ``--help`` is quick."""
