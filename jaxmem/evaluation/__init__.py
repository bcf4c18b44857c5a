"""Judging: every policy on the same requests, with intervals."""
