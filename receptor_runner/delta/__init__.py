"""Only what a node lacks travels.

Here live the store of a node, what the client remembers of files and of nodes, and the archive that says of most files
only which they are. Nothing here knows about streams and jobs."""
