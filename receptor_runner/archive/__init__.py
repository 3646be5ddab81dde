"""A directory as an archive, both ways.

Here live the zip writer, the zip reader, and the names of archive formats. Nothing here knows about streams and jobs.

Rules: packing only appends, and unpacking only reads a seekable file. Both are generators that yield often, so that a
caller can keep a connection alive, or stop."""
