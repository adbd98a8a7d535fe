"""The hub: everything is in healthlab.hub.configuration, by settings.ini. A team's own lines go below the call."""
from healthlab.hub.configuration import configure

configure(get_config())  # noqa: F821 (JupyterHub defines it)
