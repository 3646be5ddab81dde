"""Tests of the archive that says of most files only which they are."""
