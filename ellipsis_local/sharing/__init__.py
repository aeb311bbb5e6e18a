"""What a user may do with a path, and what users note on paths: invites, members, hashtags, favourites, usage."""

from ellipsis_local.sharing.members import Invite, Invites, Member, Members
from ellipsis_local.sharing.rights import DOWNLOAD, EDIT, MANAGE, NONE, OWNER, VIEW, tier_of
from ellipsis_local.sharing.sharing import Sharing
from ellipsis_local.sharing.tables import SCHEMA
from ellipsis_local.sharing.usage import DayUsage, Usage

__all__ = [
    "DOWNLOAD",
    "EDIT",
    "MANAGE",
    "NONE",
    "OWNER",
    "SCHEMA",
    "VIEW",
    "DayUsage",
    "Invite",
    "Invites",
    "Member",
    "Members",
    "Sharing",
    "Usage",
    "tier_of",
]
