"""What a model is asked to write, and how its reply is read back."""
