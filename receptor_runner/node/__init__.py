"""The embedded node: a stand-in for the Receptor daemon on one machine.

Here live the control service, work units on disk, and the process that runs one unit. What a worker writes does not
matter here.

Rules: the node speaks the daemon's control protocol on a Unix socket, and keeps units as the daemon does. It has no
network listener and no neighbours. No job ends when the node is killed."""
