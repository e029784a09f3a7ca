"""Readable text from gradients: embeddings held to what a language model would write."""
