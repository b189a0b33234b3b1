"""Lines of methods can be told apart, and small text is large enough."""

import matplotlib
from matplotlib import pyplot as plt

from companion import style
from companion.paper import CONTROLS
from nerlib.models import METHODS

matplotlib.use("Agg")


def test_lines_of_methods_differ_and_controls_are_grey_dashes():
    styles = style.line_styles(METHODS)
    assert len({(str(s["color"]), s["linestyle"]) for s in styles.values()}) == len(METHODS)
    assert [name for name, s in styles.items() if s["linestyle"] != "-"] == list(CONTROLS)
    assert max(styles, key=lambda name: styles[name]["linewidth"]) == "NER"


def test_a_grid_has_the_size_of_its_panels_and_hides_what_is_left_over(closed):
    figure, panels = style.grid(5, 4, size=(1.5, 2), more=0.5)
    assert panels.shape == (2, 4) and figure.get_size_inches().tolist() == [6, 4.5]
    assert [axes.get_visible() for axes in panels.flat] == 5 * [True] + 3 * [False]
    assert style.grid(5, size=(1, 1))[1].shape == (1, 5)


def test_small_text_changes_labels_and_legends_and_shows_the_figure():
    @style.small_text
    def draw():
        figure, axes = plt.subplots()
        axes.plot([0, 1], label="a")
        axes.set(xlabel="x", title="t")
        axes.legend()
        figure.legend(loc="outside upper center")
        return figure

    settings, figure = dict(matplotlib.rcParams), draw()
    figure.draw_without_rendering()
    axes = figure.axes[0]
    legends = [axes.get_legend(), *figure.legends]
    texts = [axes.xaxis.label, *axes.get_yticklabels(), *(t for its in legends for t in its.get_texts())]
    assert {text.get_size() for text in texts} == {8} and axes.title.get_size() == 9
    assert dict(matplotlib.rcParams) == settings  # a cell shows no figure after plt.rc_context
