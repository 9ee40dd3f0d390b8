"""How a convolution is computed: one file per lowering, and the table that selects one."""
