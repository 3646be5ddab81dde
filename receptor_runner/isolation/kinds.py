"""The ways to isolate a job, and the program of each.

Rules: names only. The guard loads this, and the guard must start fast."""

__all__ = ["DOCKER", "PODMAN", "SANDBOX"]

PODMAN, DOCKER, SANDBOX = "podman", "docker", "bwrap"
