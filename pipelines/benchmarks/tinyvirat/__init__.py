"""TinyVIRAT: submissions of the TinyAction Challenge."""
