"""Worktrees with room of their own: ``agentreview worktree add``, ``list`` and ``remove``."""
