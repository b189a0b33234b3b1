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

UNITS = {"position": "mm", "velocity": "mm/s", "integrated": "mm"}


@small_text
def paths(
    run_by_method: Mapping[str, Run],
    *,
    quantity: str = "position",
    columns: int = 5,
) -> Figure:
    """Held-out average trajectories, rotated onto the hand's paths, in the hand's plane; one panel a method.

    The rotation and its scale are fitted on training averages (`geometry.fit_rotation`); what leaves
    the plane is not drawn. Grey: the hand. Coloured: the embedding; a dot where its trajectory starts.

    Parameters
    ----------
    run_by_method : dict, title -> Run, all of one session with directions, velocity of two columns
    quantity : "position" or "velocity", paths onto which the embedding is rotated, or "integrated": rotated
        onto velocity, summed over time (`geometry.integrate`), and drawn over position
    columns : int, panels in a row

    Raises
    ------
    ValueError : an unknown quantity, runs of several sessions
    """
    if quantity not in UNITS:
        raise ValueError(f"quantity must be {', '.join(UNITS)}; got {quantity!r}")
    sessions = {run.session.digest: run.session for run in run_by_method.values()}
    if len(sessions) != 1:
        raise ValueError(f"paths compares methods on one session; got runs of {len(sessions)}")
    figure, panels = grid(len(run_by_method), 4, size=(WIDTH / 4, 1.9), more=0.5, sharex=True, sharey=True)
    for axes, (title, run) in zip(panels.flat, run_by_method.items(), strict=False):
        directions, hand, rotated = _rotated(run, quantity)
        for direction, true, path in zip(directions, hand, rotated, strict=True):
            color = direction_color(direction)
            axes.plot(*true.T, color="0.75", linewidth=2.5, zorder=1)
            axes.plot(*path.T, color=color, linewidth=1.4)
            axes.plot(*path[0], ".", color=color, markersize=4)
        axes.set_title(title)
        axes.set_aspect("equal")
    unit = UNITS[quantity]
    figure.supxlabel(f"x ({unit})", fontsize=9)
    figure.supylabel(f"y ({unit})", fontsize=9)
    key = [Line2D([], [], color=direction_color(d), linewidth=3, label=f"{d:.0f}°") for d in directions]
    key.append(Line2D([], [], color="0.75", linewidth=3, label="hand"))
    figure.legend(handles=key, loc="outside upper center", ncols=9, fontsize=8, frameon=False, handlelength=1)
    return finish(figure, sessions.values())


def _rotated(run, quantity):
    """Directions (K,), and of held-out trials the hand's and the rotated averages, both (K, bins, 2)."""
    parts, embeddings = ([its[split] for split in SPLITS] for its in (run.splits, run.corrected))
    directions, latent, latent_test = common_averages(embeddings, parts)
    velocities = [part.velocity for part in parts]
    positions = [position(part.velocity, part) for part in parts]
    _, target, hand = common_averages(positions if quantity == "position" else velocities, parts)
    matrix, offset = fit_rotation(latent, target)
    fitted, rotated = ((z @ matrix + offset)[..., :2] for z in (latent, latent_test))
    if quantity == "integrated":
        _, target, hand = common_averages(positions, parts)
        rotated = integrate(fitted, rotated, target)
    return directions, hand, rotated
