"""How good reviewers are: labelled changes, played through the review, and what came of them counted."""
