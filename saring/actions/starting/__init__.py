"""Stages that can be started without a command line: their forms, and the start on workers."""
