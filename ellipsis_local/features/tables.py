"""The tables of features: properties that were declared, the fields of files, and the log of changes."""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS feature_properties (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        path_id TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        required INTEGER NOT NULL DEFAULT 0,
        private INTEGER NOT NULL DEFAULT 0,
        trashed INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX IF NOT EXISTS feature_properties_path ON feature_properties (path_id)",
    # fields: [[name, type], …] of a file with this content, so that a path can be described without opening files.
    "CREATE TABLE IF NOT EXISTS feature_fields (content TEXT PRIMARY KEY, fields TEXT NOT NULL)",
    # low, high and numbers: which features of the file; before: their rows as they were, an Arrow stream.
    """
    CREATE TABLE IF NOT EXISTS feature_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        timestamp_id TEXT NOT NULL REFERENCES timestamps (id) ON DELETE CASCADE,
        file_id TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('add', 'edit', 'trash', 'recover')),
        date TEXT NOT NULL,
        user_id TEXT,
        username TEXT,
        low INTEGER NOT NULL,
        high INTEGER NOT NULL,
        numbers BLOB NOT NULL,
        before BLOB
    )
    """,
    "CREATE INDEX IF NOT EXISTS feature_changes_timestamp ON feature_changes (timestamp_id)",
    "CREATE INDEX IF NOT EXISTS feature_changes_file ON feature_changes (file_id, low, high)",
)
