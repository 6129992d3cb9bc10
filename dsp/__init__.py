"""Signal mathematics of the oscillator bank: block in, block out, numpy and numba only."""
