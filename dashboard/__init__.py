"""Corral: a team's own dashboard over LlamaCloud chat sessions."""
