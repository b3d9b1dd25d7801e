"""What the benchmarks share: the program under measurement, its peer, the machine, and how figures are written."""
