"""Values recorded from TensorFlow and PyTorch, and what they were made from."""
