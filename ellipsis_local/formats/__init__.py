"""What a file is, by its bytes, and whether it is safe to open: nothing here imports a library that reads layers."""
