"""Embeddings back to texts: zero-step inversion and correction (vec2text)."""
