"""Retrievers for frameworks, each behind an extra of its own."""
