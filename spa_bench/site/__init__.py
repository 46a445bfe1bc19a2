"""Pages to look at: one run (`view`), and the leaderboard. Static files, no network, no framework.

Everything that a model, a server or a submission wrote is text here, never markup.
"""
