"""Measures, on the device at hand, which lowering is the fastest for each convolution of a step."""
