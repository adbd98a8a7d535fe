"""What a kernel says on its way to the browser, and what the contents API hands out, on a real Jupyter server with a real kernel."""
import json
import uuid
from datetime import datetime, timezone

import pytest

import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from test_release_extension import SAID, nb, printed, server  # noqa: E402, F401  (the server of its own, with the hub's configuration)

from healthlab.release.leaving import told_live  # noqa: E402


class Kernel:
    "A kernel of the server, through the websocket a browser uses."
    def __init__(self, jupyter):
        import websocket
        self.id = json.loads(jupyter.ask("POST", "/api/kernels", {"name": "python3"})[1])["id"]
        self.socket = websocket.create_connection(f"{jupyter.url.replace('http', 'ws', 1)}/api/kernels/{self.id}/channels", timeout=60, header=["Authorization: token t"])

    def say(self, kind, content, until):
        "What arrives after a request, up to its answer and the kernel's being idle again: the two come by different channels."
        head = dict(msg_id=uuid.uuid4().hex, msg_type=kind, username="", session=uuid.uuid4().hex, version="5.3", date=datetime.now(timezone.utc).isoformat())
        self.socket.send(json.dumps(dict(header=head, parent_header={}, metadata={}, content=content, channel="shell", buffers=[])))
        seen, left = [], {until, "idle"}
        while left:
            seen.append(m := json.loads(self.socket.recv()))
            if m["parent_header"].get("msg_id") == head["msg_id"]: left -= {m["header"]["msg_type"], m["content"].get("execution_state")}
        return seen

    def run(self, code): return self.say("execute_request", dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=False), "execute_reply")


@pytest.fixture(scope="module")
def kernel(server):  # noqa: F811
    return Kernel(server)


def heard(messages, kind): return [m["content"] for m in messages if m["header"]["msg_type"] == kind]


def test_what_names_nobody_arrives_as_it_was_said(kernel):
    got = kernel.run("print('128 patients, mean age 61.2')\n{'auroc': 0.81}")
    assert heard(got, "stream")[0]["text"] == "128 patients, mean age 61.2\n" and heard(got, "execute_result")[0]["data"]["text/plain"] == "{'auroc': 0.81}"


@pytest.mark.parametrize("code", ["print('first row: Mrs. Mary ' + 'Johnson')", "from IPython.display import HTML; HTML('<!-- Mrs. Mary ' + 'Johnson -->')", "raise KeyError('Mrs. Mary ' + 'Johnson')",
                                  "from IPython.display import display; h = display('', display_id=True); h.update('Mrs. Mary ' + 'Johnson')", "import sys; print('Mrs. Mary ' + 'Johnson', file=sys.stderr)"])
def test_an_identifier_does_not_reach_the_browser(kernel, code):
    got = kernel.run(code)
    assert "Johnson" not in json.dumps([m for m in got if m["header"]["msg_type"] != "execute_input"])
    assert any(word in json.dumps(got) for word in ("Withheld", "withheld", "[NAME]"))


def test_a_value_looked_at_by_name_or_completed(kernel):
    kernel.run("who = 'Mrs. Mary ' + 'Johnson'; by_name = {who: 1}")
    assert "Johnson" not in json.dumps(kernel.say("inspect_request", dict(code="who", cursor_pos=3, detail_level=0), "inspect_reply"))
    assert "Johnson" not in json.dumps(kernel.say("complete_request", dict(code="by_name['", cursor_pos=9), "complete_reply"))


def test_the_contents_api_hands_out_what_the_check_finds_nothing_in(server):  # noqa: F811
    (server.folder / "past.ipynb").write_text(json.dumps(nb(printed(SAID), source="keep me")))
    (server.folder / "rows.csv").write_text("name,mrn\nMary Johnson,4821937\n")
    (server.folder / "bands.csv").write_text("band,n\n40-49,120\n")
    (server.folder / "study.py").write_text("# written by Mary Johnson\n")
    status, body = server.ask("GET", "/api/contents/past.ipynb?content=1")
    assert status == 200 and b"Johnson" not in body and b"keep me" in body
    for query in ("", "&format=base64", "&format=text&type=file"):
        status, body = server.ask("GET", f"/api/contents/rows.csv?content=1{query}")
        assert status == 403 and b"Johnson" not in body and b"airlock" in body
    assert server.ask("GET", "/api/contents/past.ipynb?content=1&type=file&format=text")[0] == 403
    assert server.ask("GET", "/api/contents/bands.csv?content=1")[0] == 200 and server.ask("GET", "/api/contents/study.py?content=1")[0] == 200
    assert server.ask("GET", "/api/contents/?content=1")[0] == 200 and server.ask("GET", "/api/contents/past.ipynb/checkpoints")[0] == 200


def test_messages_no_one_foresaw_are_checked_too():
    assert "Johnson" not in json.dumps(told_live("comm_msg", {"comm_id": "0" * 32, "data": {"method": "update", "state": {"value": SAID}}}, None))
    assert "Johnson" not in json.dumps(told_live("new_kind", {"anything": [SAID]}, None))
    plain = {"comm_id": "0" * 32, "data": {"method": "update", "state": {"value": 41}}}
    assert told_live("comm_msg", plain, None) is plain


def test_what_voila_makes_of_a_notebook_is_guarded_like_what_is_saved(server):  # noqa: F811
    cells = ["print('128 patients'); print('first row: Mrs. Mary ' + 'Johnson')", "from IPython.display import HTML; HTML('<!-- Mrs. Mary ' + 'Johnson --><b>mean age 61.2</b>')", "import ipywidgets as w; w.Label('Mrs. Mary ' + 'Johnson')"]
    made = nb(*[printed("")] * len(cells))
    for cell, code in zip(made["cells"], cells): cell.update(source=code, outputs=[])
    assert server.save("page.ipynb", made)[0] == 201
    status, page = server.ask("GET", "/voila/render/page.ipynb")
    assert status == 200 and b"128 patients" in page and b"Johnson" not in page and b"Output withheld by healthlab" in page


def test_terminals_are_closed_where_the_screen_is_checked(server):  # noqa: F811
    for method, path in (("POST", "/api/terminals"), ("GET", "/api/terminals"), ("GET", "/terminals/websocket/1")):
        status, said = server.ask(method, path, {} if method == "POST" else None)
        assert status == 403 and b"Terminals are closed" in said
