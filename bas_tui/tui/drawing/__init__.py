"""Cells, pictures and axes as characters and colours."""
