"""Seals a change folder, verifies it, reports on it, and keeps it where it cannot be altered."""
