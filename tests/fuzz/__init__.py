"""A fuzz and fault program: ``python -m tests.fuzz SECONDS``."""
