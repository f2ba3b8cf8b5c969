"""What is asked: named mixtures of studies and questions."""
