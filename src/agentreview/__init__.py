"""agentreview: a review gate for commits made by people and coding agents."""
