"""The write side, and what both sides stand on."""
