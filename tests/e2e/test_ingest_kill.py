"""An ingest that is killed at any moment and started again ends with the tables of an undisturbed one."""
from ingest_kills import trial


def test_kills_at_random_moments():
    figures = trial(8, seed=20, patients=30)
    assert (figures["lost"], figures["twice"], figures["audit"]) == (0, 0, True) and figures["before the end"] >= 2, figures
