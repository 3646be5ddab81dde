"""The client of a Receptor mesh.

Here a job is submitted, followed, cancelled and released. How a job is built, and what its messages mean, is not known
here: stages and ``results`` know it.

Rules: only ``mesh/receptorctl.py`` loads receptorctl. One connection is one operation. Everything that waits has a
deadline and heeds a stop flag."""
