"""The ways to isolate a job, and the program of each.

Rules: names only; the guard has it, and starts before anything else."""

__all__ = ["DOCKER", "PODMAN", "SANDBOX"]

PODMAN, DOCKER, SANDBOX = "podman", "docker", "bwrap"
