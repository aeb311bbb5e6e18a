"""Vector files: the one room that opens, reads, assigns and writes them; all others ask it."""
