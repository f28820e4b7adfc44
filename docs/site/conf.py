"""Sphinx's settings of the site; `build.py` beside this file lays the pages out and runs it."""

import bprr

project = "BPRR"
author = "The BPRR authors"
copyright = author
version = release = bprr.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
]
root_doc = "index"
myst_heading_anchors = 4  # as the hosting page makes them
default_role = "code"
# Sizes of sets, which are no substitutions.
rst_epilog = "".join(f".. |{size}| replace:: \\|{size}\\|\n" for size in ("V_s", "V_c"))
numpydoc_show_class_members = False
autodoc_typehints = "none"  # sections of numpydoc have them
autodoc_default_options = {"members": True, "member-order": "bysource"}
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"BPRR {release}"
html_copy_source = False
