"""What SQLite holds: documents, passages, full text, settings, and the manifest of segments."""
