"""Few-shot prompting of causal language models: the prompt's pieces, label words, scoring."""
