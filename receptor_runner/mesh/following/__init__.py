"""Following a job on a mesh until it ends.

Here live the policy, which does no IO, and the driver, which does what the policy says. What the results mean is not
known here."""
