"""Model reviewers: profiles and packets to requests, answers to anchored and verified findings."""
