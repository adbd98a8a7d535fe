"""healthlab: an open-source research workbench for clinical data teams."""

__version__ = "0.1.0"


def load_ipython_extension(ip):
    "`%load_ext healthlab`: the magics, loaded only when asked for."
    from healthlab.magics import load_ipython_extension as load
    load(ip)
