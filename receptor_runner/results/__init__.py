"""What comes out of a job.

The artifact directory, the verdict, and the sinks of events live here: files, handlers, printer. Reading a stream does
not."""
