"""Users and their tokens: who somebody is. What they may do with a path is the room `sharing`'s."""

from ellipsis_local.accounts.accounts import Accounts
from ellipsis_local.accounts.tables import SCHEMA, TokenRecord, User, UserRecord
from ellipsis_local.accounts.validation import TIERS, checked_access

__all__ = ["SCHEMA", "TIERS", "Accounts", "TokenRecord", "User", "UserRecord", "checked_access"]
