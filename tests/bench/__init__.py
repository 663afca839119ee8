"""Benchmarks of a training step: run with `make bench`; nothing here is collected as a test."""
