"""Moderation for applications: verdicts on texts, in the shapes of OpenAI's and Perspective's endpoints."""
