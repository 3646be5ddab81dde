"""A small controller, and what controllers need."""
