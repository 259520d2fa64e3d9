"""What a run of prepare found out that does not depend on its other flags, kept for the next."""
