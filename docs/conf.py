"""How Sphinx builds the documentation: MyST pages, the Furo theme, every warning an
error."""

project = "Steer"
author = "The Steer developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
