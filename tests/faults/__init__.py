"""Faults to survive, by row: each has tests marked `fault(row)`, which fail when the guard is taken out."""
