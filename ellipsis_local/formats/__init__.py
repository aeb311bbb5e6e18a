"""The formats of layers: one record each, and what is looked at in a file before a library opens it."""

from ellipsis_local.formats import limits
from ellipsis_local.formats.limits import MOST_FEATURES, MOST_FIELDS, check_count, check_raster, few
from ellipsis_local.formats.registry import EVERY, Format, of_suffix, register, registered, unregister
from ellipsis_local.formats.safety import HEADS, MEMBERS, archive_entries, check_boxes, check_member, is_member
from ellipsis_local.formats.tiff import check_whole, is_tiff, missing_bytes

__all__ = [
    "EVERY", "HEADS", "MEMBERS", "MOST_FEATURES", "MOST_FIELDS", "Format", "archive_entries", "check_boxes",
    "check_count", "check_member", "check_raster", "check_whole", "few", "is_member", "is_tiff", "limits",
    "missing_bytes", "of_suffix", "register", "registered", "unregister",
]  # fmt: skip
