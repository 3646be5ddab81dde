"""Jobs and results that nobody on their way can read.

Here live the keys, the encryption, and the archive and the output that are sealed. Nothing here sends anything."""
