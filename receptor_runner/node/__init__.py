"""The embedded node: a stand-in for the Receptor daemon on one machine.

The control service, work units on disk, and the process that runs one unit live here. What a worker writes does not
matter here.

Rules: it speaks the daemon's control protocol on a Unix socket and keeps units as the daemon does. It has no network
listener and no neighbours. Killing it ends no job."""
