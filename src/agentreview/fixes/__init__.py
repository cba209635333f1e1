"""Edits that make a finding go away: proposed by rule, and kept only where the review of the edited file agrees."""
