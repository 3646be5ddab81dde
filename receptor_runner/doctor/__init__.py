"""The doctor: looks at every link between this machine and a job on a node, and says what to do about a broken one.

Here live the checks and their order. How findings are shown is not known here.

Rules: a check never raises; what it finds is a finding. After a fault the checks go on where they can. Nothing is
changed anywhere, but for a job that does nothing, which is removed again."""
