"""The service is killed while clients write: what it acknowledged is there, whole, indexed and recorded."""
from service_kills import trial


def test_kills_under_write_load():
    figures = trial(3, seed=5)
    assert figures["acknowledged"] > 30 and figures["transactions"] > 3 and figures["database whole"], figures
    assert not any(figures[k] for k in ("lost", "transactions lost", "half transactions", "without an audit event", "index rows without a resource", "two current versions", "wrong answers", "seals that do not fit")), figures
