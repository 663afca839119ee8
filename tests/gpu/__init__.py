"""What only a real GPU shows; `make test-gpu`."""
