"""Moving files to and from other places."""
