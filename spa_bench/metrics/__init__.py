"""Numbers from counts: pure functions, no files, no models."""
