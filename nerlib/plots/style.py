"""What the figures of the book share."""

TRUE, DECODED = "0.25", "#d1495b"


def mark(figure, sessions):
    """Say SIMULATED in a corner of a figure that is made from simulated sessions."""
    if any(session.simulated for session in sessions):
        figure.suptitle("SIMULATED", x=0.995, ha="right", color="#b00020", fontsize=9, weight="bold")
    return figure
