"""Asks for a secret word on its terminal, and is content with one answer only."""

import sys

sys.exit(input("secret word: ") != "geheim")
