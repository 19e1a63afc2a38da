"""Measuring kernels, networks and the machine: what ``voxelgrad bench`` does.

``limits`` finds the machine's peaks, ``kernels`` and ``models`` run cases from data files and the
five networks. Every library works in a process of its own (``worker``), whose runs the parent
interleaves (``processes``), so that all of them see the same state of the machine.
"""
