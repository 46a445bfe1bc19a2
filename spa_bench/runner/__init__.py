"""Playing: what is owed, by which chance, in which loop, into which log."""
