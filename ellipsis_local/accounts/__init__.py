"""Users and their tokens: who somebody is. What they may do with a path is the room `sharing`'s.

accounts       users made, found and removed; whose token it is
tokens         tokens given out, registered, revoked
passwords      their hashes
checks         names, passwords, access lists: what is taken
tables         the tables and the records read from them
"""

from ellipsis_local.accounts.accounts import Accounts
from ellipsis_local.accounts.checks import TIERS, checked_access
from ellipsis_local.accounts.tables import SCHEMA, TokenRecord, User, UserRecord

__all__ = ["SCHEMA", "TIERS", "Accounts", "TokenRecord", "User", "UserRecord", "checked_access"]
