"""Scripts as users have them, with the address of the hosted service in them; and `run`, which runs several."""
