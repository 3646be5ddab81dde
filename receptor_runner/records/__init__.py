"""Records of submitted jobs on this machine.

Here live the state directory, one record for each job, and how far its follower has come. How to talk to a mesh is not
known here."""
