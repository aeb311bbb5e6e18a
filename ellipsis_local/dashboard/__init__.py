"""Pages for a browser: what runs and lies in a home, on the server of the HTTP API; nothing comes from elsewhere."""

from ellipsis_local.dashboard.pages import error_page
from ellipsis_local.dashboard.request_log import RequestLog
from ellipsis_local.dashboard.routes import BASE, dashboard_routes
from ellipsis_local.dashboard.sessions import Sessions

__all__ = ["BASE", "RequestLog", "Sessions", "dashboard_routes", "error_page"]
