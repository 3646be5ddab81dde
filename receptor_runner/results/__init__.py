"""What comes out of a job.

Here live the artifact directory, the verdict, and the sinks that take events: files, handlers, the printer. How a
stream is read is not known here."""
