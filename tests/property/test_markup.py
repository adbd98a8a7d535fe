"""What programs write as HTML is read by a quick reader; it must see all that a browser's parser sees, or leave the page to it."""
from hypothesis import example, given, settings, strategies as st

from healthlab.release.documents import _Markup, _plainly

NAMES = st.sampled_from(["p", "div", "td", "th", "tr", "table", "b", "br", "svg", "path", "xlink:use", "DIV", "h1", "style", "script", "textarea", "title"])
VALUES = st.sampled_from(["John Smith", "1", "2", "x y", "a&amp;b", "&#74;ohn", "a>b", "#m1", "M 0 0 L 1 2", "data:text/plain;base64,Sm9obg==", ""])
ATTRIBUTES = st.lists(st.one_of(st.builds("{}=\"{}\"".format, st.sampled_from(["class", "colspan", "rowspan", "d", "data-x", "ID", "x2024"]), VALUES),
                                st.builds("{} = '{}'".format, st.sampled_from(["id", "xlink:href"]), VALUES), st.sampled_from(["hidden", "scope=col", "a=b=c", "x=\"", "'", "=", "title=it's", "a\tb"])), max_size=3)
TAGS = st.builds(lambda close, name, attributes, gap, end: f"<{close}{name}{''.join(gap + a for a in attributes)}{end}", st.sampled_from(["", "", "/"]), NAMES, ATTRIBUTES, st.sampled_from([" ", "\n", "  ", ""]), st.sampled_from([">", ">", " />", "/>", " >", ""]))
PIECES = st.one_of(TAGS, st.sampled_from(["Mr. John Smith", " 12 ", "&lt;b&gt;", "&amp", "&#x4a;", "a < b", "<", ">", "<!-- Mary Johnson -->", "<!---->", "<!-->x-->", "<!-- a -- b -->", "<!-- a --", "<!DOCTYPE html>", "<!doctype svg [<!ENTITY a 'John'>]>", "<?xml version='1.0'?>", "<?John?", "<![CDATA[John]]>", "</", "</style>", "</script>", "</STYLE >", "var p = 'x';", "\x00", "é"]))


def seen(m):
    return "".join(m.text), m.comments, list(dict.fromkeys(m.attributes)), "".join(m.scripts), "".join(m.styles), sorted(set(m.data)), m.grid.tables


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=12))
@example(["<script>", "var p = 'John'", "</script>", "<p id=x>", "Mary", "</p>"])
@example(["<style>", "a > b", "</style>"])
@example(["<line class=axis x1=52 y2=260.0 />", "<td colspan=2 />", "John"])
@example(["<table>", "<tr>", "<td colspan=2>", "John", "</td>", "</tr>", "</table>"])
def test_the_quick_reader_sees_what_the_browsers_parser_sees(pieces):
    page, quick, slow = "".join(pieces), _Markup(True), _Markup(True)
    if not _plainly(quick, page): return
    slow.feed(page)
    slow.close()
    assert not slow.rawdata
    assert seen(quick) == seen(slow)


def test_what_programs_write_is_read_quickly():
    import pandas as pd
    assert _plainly(_Markup(True), pd.DataFrame({"name": ["John Smith"], "n": [3]}).to_html())
