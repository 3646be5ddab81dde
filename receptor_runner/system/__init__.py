"""What this package needs of the operating system.

Signals that can be polled, timeouts, process trees, files and directories that are made and removed safely, and how to
start a part of this package as a process live here. What a job, a stream or a mesh is does not."""
