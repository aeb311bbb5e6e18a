"""The service's HTTP API over the emulator, for the unmodified client in any process and any language.

running      listening, in a thread or until Ctrl-C
connections  one client's connection: limits of time, size and number
guard        who is let in at all
app          the application: all endpoints, the errors
document     the OpenAPI document, made to say what is answered
callers      who asks
fields       what the parts of a request may be
wire         JSON in and out
uploads      multipart bodies, to disk as they come
downloads    files, from disk as they go
repeats      a POST that is sent again is answered once
shapes       paths as the client reads them
faults       errors as answers
routes/      the endpoints
"""

from ellipsis_local.server.app import BASE_PATH, create_app
from ellipsis_local.server.running import Options, Server, serve

__all__ = ["BASE_PATH", "Options", "Server", "create_app", "serve"]
