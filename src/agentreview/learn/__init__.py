"""``agentreview learn``: the gate replayed over the history of the repository, so that a person can decide what to switch on.

``history`` says which commits, ``replay`` reviews them in a pool of processes, ``record`` is what is kept of each,
``report`` adds the records up, ``propose`` draws settings from them, and ``render`` words it all. Not on the hook path.
"""
