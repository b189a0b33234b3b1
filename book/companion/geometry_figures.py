"""Figures of the geometry of latent trajectories (Methods page, *Geometry of trajectories*)."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from companion.geometry import fit_rotation, integrate
from companion.style import finish, grid, small_text
from nerlib.alignment import common_averages
from nerlib.metrics import position
from nerlib.plots import WIDTH, direction_color
from nerlib.runs import SPLITS, Run


@small_text
def paths(run_by_method: Mapping[str, Run]) -> Figure:
    """Held-out average trajectories over the hand's paths, in the hand's plane, one panel a method.

    The embedding is rotated onto velocity, with rotation and scale fitted on training averages
    (`geometry.fit_rotation`), and summed over time (`geometry.integrate`); what leaves the plane is not
    drawn. Grey: the hand. Coloured: the embedding; a dot where its trajectory starts.

    ``run_by_method`` is a dict, title -> Run, all of one session with directions and velocity of two columns.
    Raises ValueError for runs of several sessions.
    """
    sessions = {run.session.digest: run.session for run in run_by_method.values()}
    if len(sessions) != 1:
        raise ValueError(f"paths compares methods on one session; got runs of {len(sessions)}")
    figure, panels = grid(len(run_by_method), 4, size=(WIDTH / 4, 1.9), more=0.5, sharex=True, sharey=True)
    for axes, (title, run) in zip(panels.flat, run_by_method.items(), strict=False):
        directions, hand, rotated = _rotated(run)
        for direction, true, path in zip(directions, hand, rotated, strict=True):
            color = direction_color(direction)
            axes.plot(*true.T, color="0.75", linewidth=2.5, zorder=1)
            axes.plot(*path.T, color=color, linewidth=1.4)
            axes.plot(*path[0], ".", color=color, markersize=4)
        axes.set_title(title)
        axes.set_aspect("equal")
    figure.supxlabel("x (mm)", fontsize=9)
    figure.supylabel("y (mm)", fontsize=9)
    key = [Line2D([], [], color=direction_color(d), linewidth=3, label=f"{d:.0f}°") for d in directions]
    key.append(Line2D([], [], color="0.75", linewidth=3, label="hand"))
    figure.legend(handles=key, loc="outside upper center", ncols=9, fontsize=8, frameon=False, handlelength=1)
    return finish(figure, sessions.values())


def _rotated(run):
    """Directions (K,), and of held-out trials the hand's and the rotated averages (mm), both (K, bins, 2)."""
    parts, embeddings = ([its[split] for split in SPLITS] for its in (run.splits, run.corrected))
    directions, latent, latent_test = common_averages(embeddings, parts)
    _, velocity, _ = common_averages([part.velocity for part in parts], parts)
    _, path, hand = common_averages([position(part.velocity, part) for part in parts], parts)
    matrix, offset = fit_rotation(latent, velocity)
    fitted, rotated = ((z @ matrix + offset)[..., :2] for z in (latent, latent_test))
    return directions, hand, integrate(fitted, rotated, path)
