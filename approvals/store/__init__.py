"""Tables and transactions. Methods speak the domain's words; rows never leave this room."""

from approvals.store.transactions import Store, Tx, open_store

__all__ = ["Store", "Tx", "open_store"]
