"""Sphinx configuration."""

from receptor_runner import __version__

project = "receptor-runner"
author = "the receptor-runner authors"
release = __version__
extensions = ["myst_parser", "sphinx_click"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "receptor-runner"
