"""Records of submitted jobs on this machine.

The state directory, one record for each job, and how far its follower has come live here. Talking to a mesh does
not."""
