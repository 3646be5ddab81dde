"""The embedded node: one machine's stand-in for the Receptor daemon.

Rules: it speaks the daemon's control protocol on a Unix socket and keeps units as the daemon does; it has no network
listener and no peers. Killing it ends no job."""
