"""`ellipsis_local.mock`: the service's functions are the local ones for a while, on a home of their own.

double       what users call: decorator, context manager, start and stop
decorating   functions and classes
entries      one stay in a mock: its settings, home, emulator and, where it is needed, its server
installing   what is changed in this process while any mock is active:
    client       an installed client: bodies of its functions, the way of its requests
    standin      where none is installed: modules of that name
    guard        nothing leaves for the service
faces        the local functions by the names that the client has for them
naming       which call it was that wanted to leave
"""

from ellipsis_local.mocking.double import Mock, mock

__all__ = ["Mock", "mock"]
