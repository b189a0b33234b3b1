"""Sessions from NWB files and from the simulator; pynwb is imported only when a file is opened."""

from nerlib.data._contents import describe_nwb
from nerlib.data._series import DataError
from nerlib.data.nwb import MAZE_SCHEMA, TrialsLeftOut, read_nwb, read_nwb_rates
from nerlib.data.preprocess import bin_spikes, smooth
from nerlib.data.simulate import simulate_recording, simulate_session

__all__ = ["MAZE_SCHEMA", "DataError", "TrialsLeftOut", "describe_nwb", "read_nwb", "read_nwb_rates"]
__all__ += ["bin_spikes", "simulate_recording", "simulate_session", "smooth"]
