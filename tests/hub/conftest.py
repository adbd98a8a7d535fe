"""One hub for all tests of this folder."""
import pytest


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    "A running hub, as `running.running` gives it."
    from healthlab.hub.confine import abi
    from healthlab.hub.configuration import proxy
    from healthlab.core.errors import SettingsError
    from running import running
    if not abi(): pytest.skip("this kernel has no Landlock")
    try: proxy()
    except SettingsError: pytest.skip("configurable-http-proxy is not installed (make hub, or npm ci --prefix hub)")
    with running(tmp_path_factory.mktemp("hub")) as it: yield it


@pytest.fixture(scope="session")
def people(hub):
    "Everyone signed in, with a server that runs and a kernel in it."
    from person import Person
    out = {name: Person(hub.url, name, hub.passwords[name]) for name in ("steward", "researcher")}
    for p in out.values(): p.spawn()
    for p in out.values(): p.start_kernel()
    return out
