"""Faults for somebody else's workers, in a copy of their stack: what is lost, late, run twice, and by which setting."""
