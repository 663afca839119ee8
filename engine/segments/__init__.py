"""Masks of things by clicks and boxes."""
