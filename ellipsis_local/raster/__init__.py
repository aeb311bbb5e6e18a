"""Raster files: the one room that opens, locates, reads, warps and writes them; all others ask it."""
