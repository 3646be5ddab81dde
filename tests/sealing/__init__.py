"""Tests of sealed jobs and results."""
