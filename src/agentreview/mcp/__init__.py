"""``agentreview mcp``: the Model Context Protocol over stdio, for coding agents. Edge; sole importer of the MCP SDK.

``server`` speaks the protocol, ``tools`` does what is asked, ``answers`` are the shapes of what comes back, and
``children`` runs this installation in processes that end with the call. Nothing here waives, confirms or configures.
"""
