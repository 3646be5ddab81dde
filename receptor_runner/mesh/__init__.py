"""The client of a Receptor mesh.

Submitting a job, following it, cancelling and releasing it live here. Building a job or reading its stream does not:
this package moves bytes.

Rules: only ``mesh/receptorctl.py`` loads receptorctl. One connection is one operation. Everything that waits has a
deadline and heeds a stop flag."""
