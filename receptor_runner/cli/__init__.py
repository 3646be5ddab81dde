"""The command line.

Rules: parse, call one function, choose the exit status. Data goes to standard output, everything else to standard
error; a command imports what it does when it is called, so that ``--help`` is quick."""
