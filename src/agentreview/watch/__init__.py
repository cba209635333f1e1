"""The live board: ``board`` is its state, ``follow`` an edge that fills it, ``app`` shows it in a terminal."""
