"""Source to units and facts. The only package that imports ``ast_grep_py``."""
