"""Pages for a browser: what runs and lies in a home, on the server of the HTTP API; nothing comes from elsewhere.

Its modules are asked one by one: the command line wants `read_model` alone, and no web server with it.
"""

BASE = "/ui"
"""Below this path of the server they are."""
