"""Small networks on frozen word vectors, all runs of a cell side by side."""
