"""What models share that solve ``dx/dt = v(t, x)`` from noise (t = 0) to data (t = 1): options, traces, likelihood."""
