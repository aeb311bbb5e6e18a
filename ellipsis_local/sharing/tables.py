"""The tables of sharing: rows go with their path, those of invited users with the user as well."""

from __future__ import annotations

PATH = "TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE"
INVITED = "TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE"

SCHEMA = (
    # level: the accessLevel of access, which is JSON.
    f"""CREATE TABLE IF NOT EXISTS memberships (
        user {INVITED}, path_id {PATH}, level INTEGER NOT NULL, access TEXT NOT NULL, created REAL NOT NULL,
        PRIMARY KEY (user, path_id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS memberships_path ON memberships (path_id)",
    f"""CREATE TABLE IF NOT EXISTS invites (
        id TEXT PRIMARY KEY, path_id {PATH}, user {INVITED}, sender TEXT NOT NULL, sender_name TEXT NOT NULL,
        access TEXT NOT NULL, created REAL NOT NULL, UNIQUE (path_id, user))""",
    "CREATE INDEX IF NOT EXISTS invites_user ON invites (user)",
    # tag_key: the tag without regard to case.
    f"""CREATE TABLE IF NOT EXISTS hashtags (
        path_id {PATH}, tag_key TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (path_id, tag_key)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS hashtags_key ON hashtags (tag_key)",
    # The user of a token that is not known here has favourites, too: no reference to users.
    f"""CREATE TABLE IF NOT EXISTS favourites (
        user TEXT NOT NULL, path_id {PATH}, created REAL NOT NULL, PRIMARY KEY (user, path_id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS favourites_path ON favourites (path_id)",
    f"CREATE TABLE IF NOT EXISTS domains (path_id {PATH} PRIMARY KEY, domains TEXT NOT NULL)",
    # user: '' for whoever has no token; day: YYYY-MM-DD in UTC.
    f"""CREATE TABLE IF NOT EXISTS usage (
        path_id {PATH}, user TEXT NOT NULL, day TEXT NOT NULL, units REAL NOT NULL,
        PRIMARY KEY (path_id, user, day)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS usage_user ON usage (user, day)",
)
