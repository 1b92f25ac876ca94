"""The soak: `make soak`."""
