"""What runs inside environments. This folder goes on the environment's import path, so it holds one package only."""
