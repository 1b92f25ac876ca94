"""Where what is shared or kept is held: in memory, in Valkey or Redis, in SQL."""
