"""Notices: what needs a person, recorded in the store and sent to a webhook, by e-mail or to a command."""
