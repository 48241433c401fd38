"""The outside world, a package for each part of it: channels to people, adapters for enforcers.

A channel takes notices from the outbox (`approvals.flow.telling.deliver.Channel`) and reaches the
service through `approvals.flow` alone; an adapter stands on the enforcer's wing. Nothing else
imports from here, so that whatever is added or taken out changes no decision.
"""
