"""Sample programs that run offline and without a key."""
