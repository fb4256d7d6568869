"""The commands of `rlcore`, a module each; what only one of them needs is imported by it alone."""
