"""A program that kills and stops whatever works on a job: ``python -m tests.crashes COUNT --seed N``."""
