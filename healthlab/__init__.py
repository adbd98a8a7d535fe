"""healthlab: an open-source research workbench for clinical data teams."""

__version__ = "0.1.0"
