"""Thumbwheel: users' thumbs turn the wheel."""
