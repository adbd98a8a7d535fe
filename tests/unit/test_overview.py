"""The overview's figures."""
import pytest

from healthlab.pipelines.overview import bars, figure


@pytest.mark.parametrize("label", ["short", "24 HR metoprolol succinate 100 MG Extended Release Oral Tablet"])
def test_titles_stand_inside_the_figure(label):
    "Long labels leave the axes narrower than their title."
    fig, axes = figure(2, 3)
    for ax in axes: bars(ax, {label: 156, "b": 29}, "Patients on a medication")
    fig.draw_without_rendering()
    for ax in axes:
        title = max((ax.title, ax._right_title), key=lambda t: len(t.get_text())).get_window_extent()
        assert 0 <= title.x0 and title.x1 <= fig.bbox.width
