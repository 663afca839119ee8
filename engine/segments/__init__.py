"""Masks of things by clicks, boxes and words."""
