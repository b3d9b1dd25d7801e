"""The Python end of the worker protocol (PROTOCOL.md): a zygote that forks workers, and the workers themselves."""
