"""Following a job on a mesh until it ends.

The policy, which does no IO, and the driver, which does nothing else, live here. What the results mean does not."""
