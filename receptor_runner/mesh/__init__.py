"""The client of a Receptor mesh: submit a job, follow it wherever it runs, cancel and release it.

Rules: jobs, stages and streams are built elsewhere; this part moves their bytes. receptorctl is imported by
``connection`` only. One connection is one operation; everything that waits has a deadline and heeds a stop flag."""
