"""The hub's configuration by settings: who signs in by Entra ID and as what, and what a person's server on AKS is made of. KubeSpawner and the authenticator are the real ones."""
import asyncio

import pytest
from healthlab.core.errors import SettingsError
from traitlets.config import Config

GROUP = "0f3c9a52-1111-4222-8333-444455556666" # an Entra ID group's object id


@pytest.fixture
def cluster(workbench, monkeypatch):
    "Settings of a workbench on AKS, and the configuration made from them."
    for k, v in {"HUB_AUTHENTICATOR": "entra", "HUB_TENANT": "t-1", "HUB_CLIENT_ID": "c-1", "HUB_CALLBACK": "https://hub.example.org/hub/oauth_callback", "HUB_CLIENT_SECRET": "s", "HUB_SPAWNER": "kubernetes", "HUB_IMAGE": "registry.example.org/healthlab:1",
                 "HUB_PATH": str(workbench / "hub"), "HUB_SCHEDULER": "no", "OIDC_ROLES": f"steward = steward, {GROUP} = researcher"}.items(): monkeypatch.setenv(f"HEALTHLAB_{k}", v)
    monkeypatch.setattr("healthlab.hub.configuration.proxy", lambda: ["configurable-http-proxy"])
    from healthlab.hub.configuration import configure
    c = Config()
    configure(c)
    return c


def entra(c):
    from oauthenticator.azuread import AzureAdOAuthenticator
    assert c.JupyterHub.authenticator_class is AzureAdOAuthenticator
    return AzureAdOAuthenticator(config=c)


@pytest.mark.parametrize("groups, let_in, admin", [([GROUP], True, False), (["steward"], True, True), (["somebody else's"], False, False), ([], False, False)])
def test_entra_lets_in_whose_groups_have_a_role_and_stewards_are_admins(cluster, groups, let_in, admin):
    a = entra(cluster)
    found = asyncio.run(a.update_auth_model({"name": "lena@example.org", "admin": None, "auth_state": {"user": {"groups": groups}}}))
    found = asyncio.run(a._apply_managed_groups(found))
    assert bool(asyncio.run(a.check_allowed(found["name"], found))) == let_in and bool(found["admin"]) == admin
    assert a.authorize_url == "https://login.microsoftonline.com/t-1/oauth2/authorize" and a.username_claim == "preferred_username"


def test_a_group_of_entra_has_its_roles_scopes(cluster):
    (researcher,) = [r for r in cluster.JupyterHub.load_roles if r["name"] == "healthlab-researcher"]
    assert GROUP in researcher["groups"] and "custom:healthlab:nlp" in researcher["scopes"] and "custom:healthlab:ingest" not in researcher["scopes"]


@pytest.mark.parametrize("lacking, named", [("HUB_TENANT", "[hub] tenant"), ("HUB_CLIENT_SECRET", "HEALTHLAB_HUB_CLIENT_SECRET")])
def test_what_entra_lacks_is_named(cluster, monkeypatch, lacking, named):
    from healthlab.hub.accounts import entra as by_settings
    monkeypatch.setenv(f"HEALTHLAB_{lacking}", "")
    with pytest.raises(SettingsError) as e: by_settings(Config())
    assert named in str(e.value) and str(e.value).count("[hub]") <= 1


def test_another_authenticator_or_spawner_is_refused(workbench, monkeypatch):
    from healthlab.hub.configuration import configure
    monkeypatch.setattr("healthlab.hub.configuration.proxy", lambda: ["configurable-http-proxy"])
    monkeypatch.setenv("HEALTHLAB_HUB_PATH", str(workbench / "hub"))
    for key, word in (("AUTHENTICATOR", "dummy"), ("SPAWNER", "sudo")):
        with monkeypatch.context() as m:
            m.setenv(f"HEALTHLAB_HUB_{key}", word)
            with pytest.raises(SettingsError, match=f"{word}.* none of"): configure(Config())


def pod(c, profile, groups):
    "The manifest of a person's server, as KubeSpawner sends it."
    from types import SimpleNamespace
    from unittest.mock import MagicMock, patch
    from kubernetes_asyncio.client import ApiClient
    from kubespawner import KubeSpawner
    async def made():
        s = KubeSpawner(_mock=True, config=c)
        s.user.groups = [SimpleNamespace(name=g) for g in groups]
        s.user_options = {"profile": profile}
        await s.run_pre_spawn_hook()
        await s.load_user_options()
        async with ApiClient() as api: return s, api.sanitize_for_serialization(await s.get_pod_manifest())
    with patch("kubespawner.spawner.load_config"), patch("kubespawner.spawner.shared_client", MagicMock()): return asyncio.run(made()) # there is no cluster to ask


@pytest.mark.parametrize("profile, memory, pool", [("small", 8, "users"), ("large", 32, "large"), ("gpu", 56, "gpu"), ("spark", 16, "users")])
def test_a_profile_is_what_the_pod_is_made_of(cluster, profile, memory, pool):
    s, found = pod(cluster, profile, [GROUP])
    (box,) = found["spec"]["containers"]
    assert int(box["resources"]["limits"]["memory"]) == memory << 30 and found["spec"]["nodeSelector"] == {"pool": pool} and box["image"] == "registry.example.org/healthlab:1"
    assert box["resources"]["limits"].get("nvidia.com/gpu") == ("1" if profile == "gpu" else None)
    assert any(t["key"] == "sku" for t in found["spec"].get("tolerations", [])) == (profile == "gpu")
    assert s.environment.get("HEALTHLAB_ENGINE_SPARK") == ("yes" if profile == "spark" else None)
    assert found["spec"]["securityContext"]["fsGroup"] == 1000 and box["securityContext"]["allowPrivilegeEscalation"] is False and found["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_a_pods_identity_is_its_persons_role(cluster):
    for groups, role in (([GROUP], "researcher"), (["steward"], "steward"), ([], "stakeholder")):
        s, found = pod(cluster, "small", groups)
        assert found["spec"]["serviceAccountName"] == f"healthlab-{role}" and s.environment["HEALTHLAB_ACCESS_ROLE"] == role
        assert s.storage_pvc_ensure and s.storage_capacity.endswith("Gi")


def test_a_spark_driver_may_ask_the_cluster_and_is_still_its_person(cluster):
    for profile, token in (("spark", True), ("small", False)):
        _, found = pod(cluster, profile, [GROUP])
        assert found["spec"]["serviceAccountName"] == "healthlab-researcher" and found["spec"]["automountServiceAccountToken"] is token


def test_who_is_idle_is_stopped_metrics_are_for_the_hubs_own_and_servers_are_limited(workbench, monkeypatch):
    from healthlab.hub.configuration import configure
    monkeypatch.setattr("healthlab.hub.configuration.proxy", lambda: ["configurable-http-proxy"])
    monkeypatch.setenv("HEALTHLAB_HUB_PATH", str(workbench / "hub"))
    c = Config()
    configure(c)
    known = {s["name"]: s["command"] for s in c.JupyterHub.services}
    assert {"healthlab", "scheduler", "dashboards", "culler"} <= known.keys() and "--timeout=3600" in known["culler"]
    (culler,) = [r for r in c.JupyterHub.load_roles if r["name"] == "culler"]
    assert "delete:servers" in culler["scopes"] and not any(s.startswith("admin") for s in culler["scopes"])
    assert c.JupyterHub.authenticate_prometheus is True and c.JupyterHub.active_server_limit == 20 and c.JupyterHub.named_server_limit_per_user == 2 and c.ConfinedSpawner.quota_mb == 20480
