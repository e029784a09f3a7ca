"""Fine-tuning many small classifiers from one pretrained model, without waste."""
