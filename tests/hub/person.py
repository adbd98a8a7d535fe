"""Someone at the hub, over HTTP and web sockets as a browser would do it."""
import json, time, uuid

import requests, websocket


class Refused(Exception):
    "The sign-in was not accepted."


class Person:
    def __init__(self, url: str, name: str, password: str):
        self.url, self.name, self.session = url, name, requests.Session()
        self.session.get(f"{url}/hub/login")
        answer = self.session.post(f"{url}/hub/login", data={"username": name, "password": password, "_xsrf": self.session.cookies.get("_xsrf", path="/hub/")}, allow_redirects=False)
        if answer.status_code != 302: raise Refused(answer.status_code, answer.text)
        made = self.session.post(f"{url}/hub/api/users/{name}/tokens", json={"note": "test"}, headers={"X-XSRFToken": self.session.cookies.get("_xsrf", path="/hub/"), "Referer": f"{url}/hub/"})
        made.raise_for_status()
        self.token = made.json()["token"]

    def ask(self, method: str, path: str, token: str = None, **more):
        return requests.request(method, self.url + path, headers={"Authorization": f"Bearer {token or self.token}"}, timeout=60, **more)

    def spawn(self, seconds: float = 180) -> float:
        "Start the server; seconds until it is ready."
        start = time.monotonic()
        answer = self.ask("POST", f"/hub/api/users/{self.name}/server")
        assert answer.status_code in (201, 202) or "already" in answer.text, answer.text # signing in by the form starts it too
        while time.monotonic() - start < seconds:
            now = self.ask("GET", f"/hub/api/users/{self.name}").json().get("servers", {}).get("", {})
            if now.get("ready"): return time.monotonic() - start
            time.sleep(.1)
        raise AssertionError("the server did not start")

    def start_kernel(self): self.kernel = self.ask("POST", f"/user/{self.name}/api/kernels", json={"name": "python3"}).json()["id"]

    def run(self, code: str, seconds: float = 120) -> str:
        "What a cell shows: streams, result, or `ERROR name: text`."
        at = websocket.create_connection(f"{self.url.replace('http', 'ws', 1)}/user/{self.name}/api/kernels/{self.kernel}/channels", timeout=seconds, header=[f"Authorization: token {self.token}"])
        mine, out = uuid.uuid4().hex, ""
        header = {"msg_id": mine, "msg_type": "execute_request", "username": "", "session": mine, "version": "5.3", "date": ""}
        at.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "content": {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}}))
        try:
            while True:
                m = json.loads(at.recv())
                if m.get("parent_header", {}).get("msg_id") != mine: continue
                kind, content = m["msg_type"], m["content"]
                if kind == "stream": out += content["text"]
                elif kind == "error": out += f"ERROR {content['ename']}: {content['evalue']}"
                elif kind in ("execute_result", "display_data"): out += content["data"].get("text/plain", "")
                elif kind == "status" and content["execution_state"] == "idle": return out
        finally: at.close()


def signed_in(browser, hub, name: str = "steward", **how):
    "A window of a real browser in which somebody has signed in by the hub's form; `how` goes to the window (viewport, color_scheme)."
    page = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | how).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{hub.url}/hub/login?next=%2Fhub%2Fhome") # and not on to a server, which would start one
    assert page.locator("input[name=username]").count(), f"no form to sign in: {page.url} says {page.inner_text('body')[:500]!r}"
    page.fill("input[name=username]", name); page.fill("input[name=password]", hub.passwords[name])
    page.click("[type=submit]")
    page.wait_for_url(lambda url: "/hub/login" not in url, wait_until="commit")
    return page
