"""What this package needs of the operating system.

Here live signals that can be polled, timeouts, process trees, files and directories that are made and removed safely,
and how to start a part of this package as a process. Nothing here knows what a job, a stream or a mesh is."""
