"""Lines of G-code, right and wrong, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

# Modes, offsets, ends, commands of the firmware, and what it rejects.
OTHER_LINES = (
    *("G90", "G91", "G20", "G21", "G17", "G18", "G54", "G55", "G80", "G94", "G43.1 Z2", "G49"),
    *("G92 X3", "G92.1", "G10 L20 P1 X0", "G28.1", "G28", "G30 X1", "G53 G0 X2", "N7 G1 X1", "T4"),
    *("M1", "M2", "M7", "M8", "M9", "M30", "$X", "$G", "$#", "$H", "$C", "$J=G91 X5 F900"),
    *("$110=900", "G38.2 X1", "E4", "X", "G1", "G1 G2", "", " (x) "),
)
_numbers = st.integers(-60, 60)
moving_lines = st.one_of(
    st.builds("G{} X{} Y{}".format, st.sampled_from([0, 1]), _numbers, _numbers),
    st.builds("X{} S{}".format, _numbers, st.integers(0, 1200)),
    st.builds("Y{} Z{}".format, _numbers, _numbers),
    st.builds("G1 X{} F{}".format, _numbers, st.integers(1, 9000)),
    st.builds("G{} X{} Y{} I{} J{}".format, st.sampled_from([2, 3]), *[_numbers] * 4),
    st.builds("G{} X{} Y{} R{}".format, st.sampled_from([2, 3]), *[_numbers] * 3),
    st.builds("G2 I{}".format, _numbers),
    st.builds("G93 G1 X{} F{}".format, _numbers, st.integers(1, 100)),
)
lines = st.one_of(
    moving_lines,
    st.builds("M{} S{}".format, st.sampled_from([3, 4, 5]), st.integers(0, 1200)),
    st.builds("G4 P{}".format, st.sampled_from([0, 0.1, 2])),
    st.builds("$32={}".format, st.integers(0, 1)),
    st.sampled_from(OTHER_LINES),
)
programs = st.lists(lines, min_size=1, max_size=60)
