"""Sphinx configuration."""

from receptor_runner import __version__

project = "receptor-runner"
author = "the receptor-runner authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
#: A message is searched for as it is printed, with its dashes and quotes.
smartquotes = False
html_title = "receptor-runner"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
man_pages = [
    ("commands", "receptor-runner", "run Ansible across a Receptor mesh", author, 1),
    ("configuration", "receptor-runner.toml", "the configuration of receptor-runner", author, 5),
    ("messages", "receptor-runner-messages", "the messages of receptor-runner, and what to do", author, 7),
]
#: Docstrings name errors without their module, and things of the inside that have no place in the reference.
nitpick_ignore_regex = [("py:exc", r"\w+"), (r"py:\w+", r"receptor_runner\.(stages|mesh|receptor|preparation|job)\..*")]
