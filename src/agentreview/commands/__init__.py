"""The commands of the command line, a module a topic. :mod:`agentreview.cli` puts them together."""
