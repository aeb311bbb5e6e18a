"""The site: its pages are the files of this folder, and what the package says of itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ellipsis_local import __version__

sys.path.insert(0, str(Path(__file__).parent))

# Pages are run in a temporary folder each: with a home there, and with the same ids and times whenever they are made.
os.environ |= {
    "ELLIPSIS_LOCAL_HOME": "home",
    "ELLIPSIS_LOCAL_SEED": "0",
    "ELLIPSIS_LOCAL_CLOCK": "2025-06-01T12:00:00Z",
    "ELLIPSIS_LOCAL_OFFLINE": "true",
    "ELLIPSIS_LOCAL_PROGRESS": "false",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}

project = "ellipsis_local"
version = release = __version__
copyright = "the authors of ellipsis_local, MIT"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "package_pages"]
exclude_patterns = ["_build"]
nitpicky = True
# Types of parameters are words ("list of dict"): only our own names are held to have a place.
nitpick_ignore_regex = [("py:.*", r"(?!ellipsis_local\.).*")]
suppress_warnings = ["config.cache"]

default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

linkcheck_ignore = [r"https?://(127\.0\.0\.1|localhost)", r"https://api\.ellipsis-drive\.com/v3$"]
"""Addresses of servers that somebody has to start, and of an API, which is no page."""

html_theme = "pydata_sphinx_theme"
html_title = "ellipsis_local"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
