"""The bundle under version control: people, agents, tools, enforcers, rules and their cases."""
