"""Celery: the application, its jobs and schedule, and the executor that hands stages to workers."""
