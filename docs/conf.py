"""Settings of Sphinx for the docs site. `make docs` runs it on the pages that docs/builder prepares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "service"), str(ROOT / "training")]

from docs.builder import doctree, lexers, notebooks, theme  # noqa: E402 - the path is set above
from vaekit._version import __version__  # noqa: E402

project = "vaekit"
author = "the vaekit contributors"
version = release = __version__
language = "en"
html_title = f"vaekit {__version__}"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "sphinx_copybutton"]
exclude_patterns = ["jupyter_execute"]

# Markdown: anchors of headings are those of a code host, so that one link works in both.
myst_heading_anchors = 6
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist", "dollarmath"]
myst_dmath_double_inline = True
suppress_warnings = ["myst.header"]  # pages of a code host may skip a level of headings

# Notebooks: the pages that docs/builder/notebooks.py recognises are run, and only again when their code changes.
nb_execution_mode = "cache"
nb_execution_cache_path = str(notebooks.CACHE)
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_text_lexer = "none"
nb_number_source_lines = False

smartquotes = False  # `--option` stays two dashes

# Python pages
default_role = "code"  # one backtick in a docstring is code, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "Floats": "NDArray"}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_custom_sections = [("Every call raises", "Raises")]
python_maximum_signature_line_length = 88
python_display_short_literal_types = True
add_module_names = False
nitpicky = True
# Types of other projects, and our own types that have no page: the site downloads no list of their addresses.
nitpick_ignore_regex = [("py:.*", r"(?!vaekit\.(Detector|Model|Client|AsyncClient)$).*")]

# HTML: nothing is fetched from another host, and the search runs in the browser.
html_theme = "furo"
html_static_path = ["builder/static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "builder/static/favicon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
html_theme_options = {
    "light_css_variables": theme.light(),
    "dark_css_variables": theme.dark(),
    "footer_icons": [],
    "top_of_page_buttons": [],
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    """Add the highlighting of requests, and the changes to docstrings."""
    app.connect("autodoc-process-docstring", doctree.link_pages)
    app.connect("autodoc-process-signature", doctree.short_types)
    app.connect("doctree-read", doctree.plain_words)
    app.add_lexer("http", lexers.Request)
    app.add_lexer("json", lexers.Json)
