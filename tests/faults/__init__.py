"""Faults are injected here: kills, damage, full disks, hostile files."""
