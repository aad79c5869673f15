"""Sharing: models and data sets as folders that others can use, and uploads to the Hugging Face Hub."""
