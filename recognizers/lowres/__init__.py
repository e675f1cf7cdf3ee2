"""The low-resolution branch: how small pictures reach a recognizer, and what it says of them."""
