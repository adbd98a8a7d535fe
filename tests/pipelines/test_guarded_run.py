"""What a pipeline prints goes through the guard before it is written anywhere."""
import nbformat

from healthlab.pipelines import run


def test_a_pipelines_outputs_are_guarded(workbench):
    code = ["from IPython.display import HTML\nprint('first row: Mrs. Mary ' + 'John' + 'son, MRN 48' + '21937')", "HTML('<p>seen by Dr. Alice ' + 'Bro' + 'wn</p>')", "print(sum(range(100)))"]
    path = workbench / "talkative.ipynb"
    cells = [nbformat.v4.new_markdown_cell("# talkative\nA fixture."), nbformat.v4.new_code_cell("limit: int = 3  # a number", metadata={"tags": ["parameters"]}), *map(nbformat.v4.new_code_cell, code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    record = run("talkative", notebook=path)
    folder = workbench / "reports/talkative" / record.run_id
    outputs = [o for c in nbformat.read(folder / "report.ipynb", 4).cells for o in c.get("outputs", [])]
    page = (folder / "report.html").read_text()
    assert record.status == "ok" and "4950" in page
    assert "[NAME]" in outputs[0].text and "withheld by healthlab" in outputs[1].data["text/plain"]
    body = page + "".join(str(o) for o in outputs)
    assert "Johnson" not in body and "4821937" not in body and "Brown" not in body and "withheld by healthlab" in page
