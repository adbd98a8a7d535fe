"What a kernel of the hub's servers begins with (PYTHONSTARTUP): errors that come of limits are explained."
__import__("healthlab.hub.storage", fromlist=["explain"]).explain()
