"""Known bugs of reinforcement learning, each of which a quick test must find.

`python -m tests.planted` plants them all and says which were found; with names of some it does so for these, and shows
what pytest printed.
"""
