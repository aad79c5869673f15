"""What leaves the house: models and data sets as folders that others can use, and their way to the Hugging Face Hub."""
