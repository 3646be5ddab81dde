"""A directory as an archive, both ways.

The zip writer, the zip reader, and the names of archive formats live here. Streams and jobs do not.

Rules: packing only appends, and unpacking only reads a seekable file. Both are generators that yield often, so that a
caller can keep a connection alive or stop."""
