"""A directory as a zip archive, both ways: :mod:`collect` walks, :mod:`pack` writes, :mod:`unpack` extracts.

Rules: nothing here knows about streams. Packing only appends and unpacking only reads a seekable file. Both are
generators that yield often, so that a caller can keep a connection alive or stop."""
