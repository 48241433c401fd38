"""What a page says, in words: from the flow's views to the values that the templates lay out.

Pure: no clock, no database. Nothing here looks at the agent's prose save to pass it to its own
place, so the facts of a page cannot depend on it.
"""
