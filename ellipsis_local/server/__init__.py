"""The service's HTTP API over the emulator, for the unmodified client in any process and any language."""

from ellipsis_local.clocks import real_dates

with real_dates():
    from ellipsis_local.server.app import BASE_PATH, create_app
    from ellipsis_local.server.uvicorn_server import Options, Server, serve

__all__ = ["BASE_PATH", "Options", "Server", "create_app", "serve"]
